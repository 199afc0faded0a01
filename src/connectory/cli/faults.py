"""The faults that a command explains in one line: what they say is meant for people."""

from connectory.catalogue.importing import ImportFault
from connectory.cli.api import ApiFault
from connectory.cli.applications import ApplicationFault
from connectory.cli.deployments import DeploymentFault
from connectory.cli.jobs import JobFault
from connectory.cli.messages import MessageFault
from connectory.cli.releases import ReleaseFault
from connectory.contract.errors import ApiError
from connectory.database.backup import BackupError
from connectory.database.documents import Damaged
from connectory.database.engine import DatabaseAddressError, DatabaseUnavailable
from connectory.database.migration import SchemaMismatch
from connectory.database.secrets import SecretKeysError
from connectory.database.serving import AlreadyServed
from connectory.deployments.commerce import CommerceFileError
from connectory.http.server import AddressInUse
from connectory.identity.model import IdentityError
from connectory.settings import SettingError
from connectory.sources.credentials import CredentialError
from connectory.sources.model import SourceError
from connectory.staging.checks.policy import PolicyError
from connectory.work.model import WorkError

EXPECTED = (
    AddressInUse,
    AlreadyServed,
    ApiError,
    ApiFault,
    ApplicationFault,
    BackupError,
    CommerceFileError,
    CredentialError,
    Damaged,
    DatabaseAddressError,
    DatabaseUnavailable,
    DeploymentFault,
    IdentityError,
    ImportFault,
    JobFault,
    MessageFault,
    OSError,
    PolicyError,
    ReleaseFault,
    SchemaMismatch,
    SecretKeysError,
    SettingError,
    SourceError,
    WorkError,
)
