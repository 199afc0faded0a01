"""Patterns and enumerations of the published API (RAML `types/common.raml`)."""

import enum
import re
from typing import Annotated, Final

from msgspec import Meta

# `$` alone would let a trailing line feed pass in Python; the look-ahead refuses it and means
# nothing to the ECMAScript readers of the same pattern in /openapi.json.
ID_PATTERN: Final = (
    r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-"
    r"[0-9a-fA-F]{12}(?!\n)$"
)
KEY_PATTERN: Final = r"^[A-Za-z0-9_-]{2,256}(?!\n)$"
PROJECT_KEY_PATTERN: Final = r"^[A-Za-z0-9_-]{2,36}(?!\n)$"
PROJECT_IDENTIFIER_PATTERN: Final = r"^[a-zA-Z0-9-_.]+:[a-zA-Z0-9-_]{2,36}(?!\n)$"

Id = Annotated[
    str,
    Meta(
        pattern=ID_PATTERN,
        description="Unique identifier: a UUID.",
        examples=["5ab3edcd-9d23-4934-8f48-256805253119"],
    ),
]
Key = Annotated[
    str,
    Meta(
        pattern=KEY_PATTERN,
        min_length=2,
        max_length=256,
        description="User-defined unique identifier.",
        examples=["connector-key"],
    ),
]
ProjectKey = Annotated[str, Meta(pattern=PROJECT_KEY_PATTERN, description="Key of a Project.")]
ProjectIdentifier = Annotated[
    str,
    Meta(
        pattern=PROJECT_IDENTIFIER_PATTERN,
        description="A Project, as `{region}:{projectKey}`.",
        examples=["europe-west1.gcp:my-project-key"],
    ),
]
ApplicationName = Annotated[str, Meta(pattern=KEY_PATTERN, min_length=2, max_length=256)]

is_id = re.compile(ID_PATTERN).search
is_key = re.compile(KEY_PATTERN).search
is_project_key = re.compile(PROJECT_KEY_PATTERN).search
is_project_identifier = re.compile(PROJECT_IDENTIFIER_PATTERN).search


class IntegrationType(enum.StrEnum):
    """What a Connector integrates; search filters by it."""

    TAX = "tax"
    MARKETPLACE = "marketplace"
    OMS = "oms"  #: Order management.
    PSP = "psp"  #: Payment service provider.
    PIM = "pim"  #: Product information management.
    PROMOTION = "promotion"  #: Promotions and loyalty.
    SEARCH = "search"
    ERP = "erp"  #: Enterprise resource planning.
    CRM = "crm"  #: Customer relationship management.
    EMAIL = "email"  #: E-mail and marketing.
    ANALYTICS = "analytics"
    SHIPPING = "shipping"  #: Shipping and delivery.
    GIFTCARD = "giftcard"
    OTHER = "other"  #: A service that none of the other values covers.


class Region(enum.StrEnum):
    """Where a Project is hosted and where a Connector can be deployed."""

    EUROPE_WEST1_GCP = "europe-west1.gcp"
    US_CENTRAL1_GCP = "us-central1.gcp"
    AUSTRALIA_SOUTHEAST1_GCP = "australia-southeast1.gcp"
    US_EAST_2_AWS = "us-east-2.aws"
    EU_CENTRAL_1_AWS = "eu-central-1.aws"


class ApplicationType(enum.StrEnum):
    """The kind of a Connect application."""

    SERVICE = "service"
    EVENT = "event"
    JOB = "job"
    MERCHANT_CENTER_CUSTOM_APPLICATION = "merchant-center-custom-application"
    MERCHANT_CENTER_CUSTOM_VIEW = "merchant-center-custom-view"
    ASSETS = "assets"
