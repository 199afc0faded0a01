// The values come from the Deployment, and APPLICATION_URL from Connect.
export default {
  name: "Gift cards",
  cloudIdentifier: "${env:CLOUD_IDENTIFIER}",
  entryPointUriPath: "${env:ENTRY_POINT_URI_PATH}",
  oAuthScopes: { view: ["view_products"], manage: [] },
  icon: "<svg xmlns='http://www.w3.org/2000/svg'/>",
  env: {
    development: { initialProjectKey: "my-shop" },
    production: { applicationId: "${env:CUSTOM_APPLICATION_ID}", url: "${env:APPLICATION_URL}" },
  },
  mainMenuLink: { defaultLabel: "Gift cards", permissions: [], labelAllLocales: [] },
  submenuLinks: [],
};
