// The values come from the Deployment, and APPLICATION_URL from Connect.
export default {
  name: "Stock of a product",
  cloudIdentifier: "${env:CLOUD_IDENTIFIER}",
  oAuthScopes: { view: ["view_products"], manage: [] },
  type: "CustomPanel",
  typeSettings: { size: "SMALL" },
  locators: ["products.product_details.general"],
  labelAllLocales: [],
  env: {
    development: { initialProjectKey: "my-shop" },
    production: { customViewId: "${env:CUSTOM_VIEW_ID}", url: "${env:APPLICATION_URL}" },
  },
};
