"""What Schemathesis has to know of this API that OpenAPI has no words for; it loads this file."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]
) -> None:
    """Send a client's secret in one way only.

    RFC 6749 §2.3 forbids a second one, and the server refuses it; a schema of the form cannot know
    that there is an Authorization header. All calls have one here (see `test_schemathesis`).
    """
    if isinstance(case.body, dict):
        case.body.pop("client_secret", None)
