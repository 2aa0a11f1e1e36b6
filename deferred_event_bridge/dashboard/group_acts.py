"""The acts that decide about a group of failures: it is known, quiet until a limit, or fixed in a release."""

from bridge.brokers.any_broker.group_log import decide_about_group
from bridge.brokers.contract.broker import Broker
from bridge.config.dashboard_settings import Role
from bridge.config.notation import positive_count
from bridge.console.option_values import positive_time
from bridge.failures.states import Decided, GroupDecision
from deferred_event_bridge.dashboard.asking import Act, Field, Question, Sent
from deferred_event_bridge.dashboard.failures_now import GroupNow
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable, command

_TITLES: dict[str, tuple[str, str]] = {
    "known": ("Mark this group as known?", "It stays in the list, with your note."),
    "quiet": (
        "Keep this group quiet?",
        "It moves to the end of the list until a limit is reached.",
    ),
    "fixed": (
        "Mark this group as fixed?",
        "It moves to the end of the list. A failure in this release or a later one reopens it.",
    ),
}
_FIELDS: dict[str, tuple[Field, ...]] = {
    "known": (),
    "quiet": (
        Field("for", "For how long", "Such as 4h. One of the three limits is needed."),
        Field("count", "Until it has so many failures", "A number."),
        Field("rate", "Up to so many failures within an hour", "A number."),
    ),
    "fixed": (Field("release", "Fixed in release", "The app's release, such as v43.", required=True),),
}


def group_act(word: Decided) -> Act:
    """Return the act that decides so about a group."""

    def ask(asked: Asked) -> Question:
        found = _group(asked)
        title, consequence = _TITLES[word]
        group = found.group
        return Question(
            title=title,
            sentences=(
                group.fingerprint.title,
                f"{len(group.dead):,} dead and {len(group.retrying):,} retrying. Nothing is changed about them.",
                consequence,
            ),
            button=f"Mark as {word}",
            frozen={"group": group.id, "title": group.fingerprint.title},
            command=command("bridge-dlq", "groups", "note" if word == "known" else word, group.id, "…"),
            back=("group", {"group_id": group.id}),
            after=("group", {"group_id": group.id}),
            fields=_FIELDS[word],
        )

    def do(asked: Asked, sent: Sent) -> str:
        decision = _decision(word, asked, sent)

        async def decide(broker: Broker) -> None:
            await decide_about_group(broker, decision, asked.settings.values.namespace, asked.settings.ledger_keys())

        asked.observer.ask(decide)
        return f"The group is {word} now."

    return Act(Role.OPERATE, ask, do)


def _decision(word: Decided, asked: Asked, sent: Sent) -> GroupDecision:
    fields = {name: value.strip() for name, value in sent.fields.items()}
    until = None
    if word == "quiet" and fields.get("for"):
        try:
            until = asked.now + positive_time(fields["for"])
        except ValueError as error:
            raise Unusable(f"For how long: {error}") from error
    count, rate = (_number(fields.get(name, "")) if word == "quiet" else None for name in ("count", "rate"))
    release = fields.get("release") if word == "fixed" else None
    if word == "quiet" and until is None and count is None and rate is None:
        raise Unusable("Quiet until when? Expected a time, a number of failures, or a number within an hour")
    if word == "fixed" and not release:
        raise Unusable("Fixed in release: expected the release, such as v43")
    return GroupDecision(
        group=sent.frozen["group"],
        word=word,
        who=sent.who,
        time=asked.now,
        note=sent.why,
        title=sent.frozen["title"],
        until=until,
        count=count,
        rate=rate,
        release=release,
    )


def _group(asked: Asked) -> GroupNow:
    group_id = asked.text("group")
    found = next((each for each in asked.observer.seen().groups if each.group.id == group_id), None)
    if found is None:
        raise NotThere(f"Nothing fails in the group {group_id or ''} now.")
    return found


def _number(text: str) -> int | None:
    if not text:
        return None
    try:
        return positive_count(text)
    except ValueError as error:
        raise Unusable(f"{text!r:.40}: expected a number of failures, such as 100") from error
