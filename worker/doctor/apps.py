"""The doctor's check whether two apps take each other's events: the workers of one queue run one app."""

from collections.abc import Sequence

from bridge.brokers.contract.findings import Finding, some, wrong
from bridge.config.values import Values
from bridge.status import UnreadableStatus, WorkerStatus
from worker.control.apps import apps_of, serving_one_of
from worker.control.control_socket import workers_of


def examine(values: Values) -> Sequence[Finding]:
    """Ask the workers of these settings for their apps."""
    return judge(workers_of(values), values.namespace)


def judge(workers: Sequence[WorkerStatus | UnreadableStatus], namespace: str) -> Sequence[Finding]:
    """Judge the apps of the workers."""
    queues = {queue for each in workers if isinstance(each, WorkerStatus) for queue in each.serving.queues}
    by_queue = [apps_of(serving_one_of(workers, [queue])) for queue in queues]
    apps = sorted({app for apps in by_queue if len(apps) > 1 for app in apps})
    if not apps:
        return []
    sentence = f"workers of namespace '{namespace}' run different apps, and take each other's events: {some(apps)}"
    step = "a namespace of its own for each app, or a broker_url; or queues of its own, by [workers.…]"
    return [wrong("apps", sentence, step)]
