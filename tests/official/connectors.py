"""The Connectors that the server of these tests has."""

from tests.harness import connector

#: Every field that the contract has.
FULL = connector(
    "full",
    id="5d8a6f0e-7f3c-4b5e-9a53-3c1f6d2b8e10",
    name="Größe & Gewicht 📦",
    description='All fields.\nA second line, "quoted".',
    integrationTypes=["pim", "other"],
    creator={
        "title": "Dr.",
        "name": "Ada",
        "email": "ada@acme.example",
        "company": "Acme",
        "noOfContributors": 3,
        "logoUrl": "https://acme.example/logo.png",
        "supportUrl": "https://acme.example/support",
    },
    configurations=[
        {
            "applicationName": "service",
            "applicationType": "service",
            "standardConfiguration": [
                {"key": "LEVEL", "description": "How much", "required": True, "default": "info"}
            ],
            "securedConfiguration": [
                {"key": "API_KEY", "description": "A secret", "required": True}
            ],
        },
        {
            "applicationName": "nightly",
            "applicationType": "job",
            "standardConfiguration": [],
            "securedConfiguration": [],
        },
    ],
    globalConfiguration={
        "standardConfiguration": [{"key": "TENANT", "description": "Whose", "required": False}],
        "securedConfiguration": [],
    },
    apiClient={"scopes": ["manage_orders", "view_products"]},
    supportedRegions=["europe-west1.gcp", "us-east-2.aws"],
    documentationUrl="https://acme.example/docs",
)

#: No more than a Connector must have.
PLAIN = connector("plain", id="0b0f8a51-2f0a-4bb1-8d8c-9a0f3c1f4a77")

#: Private, and assigned to the Project of the tests.
PRIVATE = connector(
    "hidden",
    id="c1d3f6a2-6a8e-4c59-b7f3-2f6f0d9c5b64",
    creator={"email": "bob@other.example", "company": "Other"},
    private=True,
    certified=False,
)
