"""What changed between two releases. Pure; of a secret it is told that it changed, and no more."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import UNSET

from connectory.contract import releases as wire
from connectory.contract.releases import ChangeKind
from connectory.deployments import model
from connectory.deployments.configuration import Values
from connectory.deployments.model import Application, Release
from connectory.specification.shape import RetryPolicy, Scripts

#: Whether two sealed texts are of the same secret: sealed twice, one text looks like two.
SameSecret = Callable[[str, str], bool]


def changes(before: Release, after: Release, same_secret: SameSecret) -> wire.ReleaseChanges:
    """What is different in `after`; applications are the same where their ids are."""
    known = {each.id: each for each in before.applications}
    here = {each.id for each in after.applications}
    both = [(known[each.id], each) for each in after.applications if each.id in known]
    came = [(each, ChangeKind.ADDED) for each in after.applications if each.id not in known]
    went = [(each, ChangeKind.REMOVED) for each in before.applications if each.id not in here]
    versions = (before.connector.version, after.connector.version)
    commits = (before.commit or "", after.commit or "")
    return wire.ReleaseChanges(
        since=before.number,
        connector_version=UNSET
        if versions[0] == versions[1]
        else wire.VersionChange(before=versions[0], after=versions[1]),
        commit=UNSET
        if commits[0] == commits[1]
        else wire.CommitChange(before=commits[0], after=commits[1] or UNSET),
        applications=tuple(
            wire.ApplicationChange(application_name=each.name, change=change)
            for each, change in (*came, *went)
        ),
        configuration=(
            *_values(None, before.shared, after.shared, same_secret),
            *(
                change
                for old, new in both
                for change in _values(new.name, old.values, new.values, same_secret)
            ),
        ),
        scopes=tuple(_scopes(_scopes_of(before), _scopes_of(after))),
        scripts=tuple(
            change
            for _, new in both
            for change in _scripts(new.name, before.scripts, after.scripts)
        ),
        schedules=tuple(change for pair in both for change in _schedule(*pair)),
        retry_policies=tuple(change for pair in both for change in _retry_policy(*pair)),
    )


def _values(
    application: str | None, before: Values, after: Values, same_secret: SameSecret
) -> Iterator[wire.ConfigurationChange]:
    """The keys of one owner whose values differ: in the order of the new ones, then what went."""
    old, new = _by_key(before), _by_key(after)
    for key in dict.fromkeys((*new, *old)):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        secured = any(each is not None and each[1] for each in (was, now))
        if was and now and was[1] and now[1] and same_secret(was[0], now[0]):
            continue
        kind = ChangeKind.ADDED if was is None else ChangeKind.CHANGED
        yield wire.ConfigurationChange(
            application_name=application or UNSET,
            key=key,
            change=kind if now is not None else ChangeKind.REMOVED,
            secured=secured,
            before=UNSET if secured or was is None else was[0],
            after=UNSET if secured or now is None else now[0],
        )


def _by_key(values: Values) -> dict[str, tuple[str, bool]]:
    """Each value, and whether it is a secret. Where a key is both, the secret counts: it is set."""
    found = {each.key: (each.value, False) for each in values.standard}
    return found | {each.key: (each.value, True) for each in values.secured}


def _scopes_of(release: Release) -> tuple[str, ...]:
    return release.client.scopes if release.client is not None else ()


def _scopes(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[wire.ScopeChange]:
    for each in dict.fromkeys((*after, *before)):
        if (each in before) != (each in after):
            change = ChangeKind.ADDED if each in after else ChangeKind.REMOVED
            yield wire.ScopeChange(scope=each, change=change)


def _scripts(
    application: str, before: Mapping[str, Scripts], after: Mapping[str, Scripts]
) -> Iterator[wire.ScriptChange]:
    old, new = (each.get(application, Scripts()) for each in (before, after))
    for script, was, now in (
        ("postDeploy", old.post_deploy, new.post_deploy),
        ("preUndeploy", old.pre_undeploy, new.pre_undeploy),
    ):
        if was != now:
            yield wire.ScriptChange(
                application_name=application, script=script, before=was, after=now
            )


def _schedule(before: Application, after: Application) -> Iterator[wire.ScheduleChange]:
    was, now = (each.values.schedule or each.schedule for each in (before, after))
    if was != now:
        yield wire.ScheduleChange(
            application_name=after.name, before=was or UNSET, after=now or UNSET
        )


def _retry_policy(before: Application, after: Application) -> Iterator[wire.RetryPolicyChange]:
    was, now = map(_policy_of, (before, after))
    if was != now:
        yield wire.RetryPolicyChange(
            application_name=after.name,
            before=model.shown_policy(was),
            after=model.shown_policy(now),
        )


def _policy_of(application: Application) -> RetryPolicy | None:
    return application.values.retry_policy or application.retry_policy
