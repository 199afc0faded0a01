"""The rules of connect.yaml, by name: what each asks for and how severe a breach is.

An Error is what the official platform refuses. A Warning is what it takes although it can hardly
be meant: docs/decisions/0012-what-is-judged-beyond-the-official-validator.md.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from connectory.specification.faults import Fault, Position, Severity


class Rule(Struct, frozen=True):
    """What is asked for.

    Attributes:
        severity: Of a breach.
        demand: What is asked for, in a sentence.
    """

    severity: Severity
    demand: str


def _errors(**demands: str) -> dict[str, Rule]:
    return {name.replace("_", "-"): Rule(Severity.ERROR, text) for name, text in demands.items()}


def _warnings(**demands: str) -> dict[str, Rule]:
    return {name.replace("_", "-"): Rule(Severity.WARNING, text) for name, text in demands.items()}


#: The file as YAML.
YAML: Final = _errors(
    specification_missing="The folder has a file `connect.yaml`, spelled so.",
    specification_unreadable="`connect.yaml` is a file that can be read, within the folder.",
    yaml_syntax="The file is YAML 1.2.",
    tab_indentation="Lines are indented by blanks, not by tabs.",
    one_document="The file has one document.",
    duplicate_yaml_key="A key stands once in a mapping.",
    merge="`<<` of YAML 1.1 merges mappings.",
    alias="An alias has its anchor before it.",
    alias_count="Aliases repeat an anchor no more than 100 times, counted with those within it.",
    depth="Values are nested at most 800 levels deep.",
    size="The file has at most 1 MiB and 50,000 values, aliases counted as what they stand for.",
)
#: What stands in it, one value at a time.
SHAPE: Final = _errors(
    wrong_type="A value has the type that its key asks for.",
    missing="What is required is there.",
    unknown_key="A key is one of those that the specification knows at its place.",
    application_type="`applicationType` is one of those that the specification knows.",
    retry_strategy="`strategy` is `exponential-backoff` or `immediate`.",
    name="The name of an application has 2 to 256 letters, digits, `-` and `_`.",
    endpoint="An endpoint, or a path, has letters, digits, `-`, `_` and `/`, and is not empty.",
    double_slash="An endpoint has no `//`.",
    schedule="A schedule has five fields of cron, or `@daily`, `@every 5m` and their like.",
    configuration_key="A configuration key has 2 to 256 letters, digits and `_`.",
    reserved_key="`PORT`, `K_SERVICE`, `K_REVISION` and `K_CONFIGURATION` belong to the platform,"
    " in any case.",
    empty_text="A text is not empty.",
    blank_text="A text is more than white space.",
    empty_list="`scopes` has at least one scope.",
    whole_number="A number is a whole one.",
    number_range="A number is within its bounds.",
)
#: How its parts fit together.
RELATIONS: Final = _errors(
    duplicate_name="Each application has a name of its own.",
    duplicate_key="A key stands once in a configuration, standard and secured together.",
    duplicate_global_key="A key under `inheritAs` stands in no application as well.",
    backoff_order="`minBackoffSeconds` is not above `maxBackoffSeconds`.",
    merchant_center_key="A Merchant Center application has CUSTOM_APPLICATION_ID and"
    " ENTRY_POINT_URI_PATH, a view CUSTOM_VIEW_ID, with `required: true`.",
    cloud_identifier="A Merchant Center application or view has CLOUD_IDENTIFIER, required or with"
    " a default, of its own or required under `inheritAs`.",
    merchant_center_secured="A Merchant Center application or view has no secured configuration:"
    " what it knows, the browser knows.",
)
#: What the official validator takes, and what is hardly meant.
ADVICE: Final = _warnings(
    not_utf_8="The file is UTF-8.",
    control_character="A text has no control characters.",
    ignored_tag="A tag of YAML is one that means something here.",
    no_applications="`deployAs` has an application.",
    unknown_application="An application of type `unknown` is not deployed.",
    former_type="`mc-app` is called `merchant-center-custom-application` today.",
    hidden_duplicate="Names and keys such as `constructor` or `toString` stand once as well; the"
    " official validator does not see that they repeat.",
    similar_names="Names of applications, and keys of one configuration, differ in more than case.",
    platform_variable="A configuration key does not take the place of a variable that the system"
    " or the platform sets.",
    scope_spelling="A scope looks like one: `view_products`, `manage_orders:my-project`.",
    relative_endpoint="An endpoint begins with `/`.",
    health_check_overlap="`timeoutSeconds` is not above `intervalSeconds`.",
    schedule_text="A schedule is nothing but a schedule.",
    schedule_range="The fields of a schedule are within their ranges.",
    schedule_never="A schedule has a day on which it runs.",
)
#: What lies beside the file.
STRUCTURE: Final = {
    **_errors(
        folder_missing="Each application has a folder of exactly its name.",
        folder_outside="The folder of an application, and what is read in it, lie within the"
        " connector: no symbolic link leads out.",
        folder_empty="The folder of an application has files.",
        package_json="`package.json` is a JSON object, and its `scripts` are texts.",
        start_script="A service, event or job application in Node has a script `start`.",
        python_project="`pyproject.toml` is TOML, and `requirements.txt` can be read.",
    ),
    **_warnings(
        script_missing="What `postDeploy` and `preUndeploy` run with npm, yarn or pnpm is in the"
        " `scripts` of `package.json`; a script that fails makes a Warning of the deployment.",
        start_implied="A script `start` says how a Node application starts; without it Node starts"
        " `main`, `server.js` or `index.js`.",
        build_script="An assets or Merchant Center application in Node has a script `build` or"
        " `gcp-build`.",
        lock_file="The versions of what an application needs are locked.",
        technology="The files of an application tell how to build it.",
    ),
}

RULES: Final[Mapping[str, Rule]] = {**YAML, **SHAPE, **RELATIONS, **ADVICE, **STRUCTURE}


def fault(  # noqa: PLR0917 - the parts of a fault, in the order in which they are told
    rule: str, at: str, position: Position, message: str, hint: str = "", official: str = ""
) -> Fault:
    """A breach of a rule."""
    return Fault(
        rule=rule,
        severity=RULES[rule].severity,
        at=at,
        position=position,
        message=message,
        hint=hint,
        official=official,
    )


def official(path: str, message: str) -> str:
    """A line of the official validator; the path of the whole file is ""."""
    return f"[{path or 'file content'}]: {message}"
