"""What operators send and get under /operator/: certifications, and what reviewers do to them.

The published interface has nothing of this: there, the reviewers are the platform's own. What is
here follows its style (docs/decisions/0017-who-certifies.md).
"""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from connectory.contract.connectors import Wire
from connectory.contract.scalars import ProjectIdentifier
from connectory.contract.staged import ConnectorStaged

#: What a reviewer says to the creator.
Comment = Annotated[str, Meta(min_length=1)]


class CertificationAction(Wire, frozen=True, kw_only=True, tag_field="action"):
    """What a reviewer does.

    Attributes:
        version: The version of the ConnectorStaged that it is meant for.
    """

    version: int


class TakeCertification(CertificationAction, frozen=True, kw_only=True, tag="take"):
    """Takes the review: the creator sees who has it."""


class ApproveCertification(CertificationAction, frozen=True, kw_only=True, tag="approve"):
    """Certifies the Connector and publishes it for everybody.

    Attributes:
        comment: What the creator is told.
    """

    comment: Comment | UnsetType = UNSET


class RejectCertification(CertificationAction, frozen=True, kw_only=True, tag="reject"):
    """Sends the ConnectorStaged back to its creator.

    Attributes:
        comment: Why, and what is to be done.
    """

    comment: Comment


class CommentCertification(CertificationAction, frozen=True, kw_only=True, tag="comment"):
    """Tells or asks the creator something; the review goes on.

    Attributes:
        comment: What the creator is told.
    """

    comment: Comment


CertificationUpdate = (
    TakeCertification | ApproveCertification | RejectCertification | CommentCertification
)


class Certification(Wire, frozen=True, kw_only=True):
    """A ConnectorStaged that waits for a reviewer, or is with one.

    Attributes:
        project: The Project that it belongs to.
        commit: What was checked, and is published if it is approved.
        reviewer: Who has taken it: `operator:{name}`, or `command:{login name}`; none has, if left
            out.
        since: Since when it waits, or since when the reviewer has it.
        connector_staged: All the rest.
    """

    project: ProjectIdentifier
    commit: str
    reviewer: str | UnsetType = UNSET
    since: str
    connector_staged: ConnectorStaged


class CertificationPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of certifications.

    Attributes:
        offset: How many were skipped.
        limit: How many were asked for.
        total: How many there are.
        count: How many are in `results`.
        results: The certifications, the one that waits longest first.
    """

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[Certification, ...]
