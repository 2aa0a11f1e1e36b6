"""Does what an operator does to a RabbitMQ node, by `eval`: each command of rabbitmqctl takes a second of CPU."""

from collections.abc import Callable

from tests.erlang import binary

ACTING_USER = binary("an operator")
DEFAULT_VHOST = "/"
LIMIT = binary("limit")


class Operator:
    """Operates one node, on which guest is the user of all programs. `evaluate` is the node's `eval`."""

    def __init__(self, evaluate: Callable[[str], str]) -> None:
        self._evaluate = evaluate

    def close_all_connections(self) -> None:
        """Close every connection; return when their clients have answered. One that ends meanwhile is no error."""
        self._evaluate(
            "Open = [{Pid, monitor(process, Pid)} || Pid <- rabbit_networking:connections()], "
            '[catch rabbit_networking:close_connection(Pid, "for a test") || {Pid, _} <- Open], '
            "[receive {'DOWN', Reference, process, Pid, _} -> ok after 10000 -> ok end || {Pid, Reference} <- Open]."
        )

    def suspend_listeners(self) -> None:
        """Accept no further connections; those that are open stay open."""
        self._evaluate("ok = rabbit_maintenance:suspend_all_client_listeners().")

    def resume_listeners(self) -> None:
        """Accept connections again after `suspend_listeners()`."""
        self._evaluate("ok = rabbit_maintenance:resume_all_client_listeners().")

    def permit(self, *, configure: str = ".*", write: str = ".*", read: str = ".*", vhost: str = DEFAULT_VHOST) -> None:
        """Give guest permissions for the names that match these patterns; by default all."""
        arguments = ", ".join(map(binary, ("guest", vhost, configure, write, read)))
        self._evaluate(f"rabbit_auth_backend_internal:set_permissions({arguments}, {ACTING_USER}).")

    def withdraw_permissions(self) -> None:
        """Withdraw guest's permissions; `permit()` restores them."""
        arguments = ", ".join(map(binary, ("guest", DEFAULT_VHOST)))
        self._evaluate(f"rabbit_auth_backend_internal:clear_permissions({arguments}, {ACTING_USER}).")

    def limit_queues(self, pattern: str, messages: int) -> None:
        """Limit the length of the queues whose names match a pattern, by the only policy of this operator."""
        definition = f'{{"max-length": {messages}}}'
        limited = f"{binary(pattern)}, {binary(definition)}, 0, {binary('queues')}"
        self._evaluate(f"ok = rabbit_policy:parse_set({binary(DEFAULT_VHOST)}, {LIMIT}, {limited}, {ACTING_USER}).")

    def clear_limit(self) -> None:
        """Undo `limit_queues()`."""
        self._evaluate(f"ok = rabbit_policy:delete({binary(DEFAULT_VHOST)}, {LIMIT}, {ACTING_USER}).")

    def delete_queue(self, queue: str) -> None:
        """Delete a queue with its messages."""
        self._evaluate(f"{_lookup(queue)}, {{ok, _}} = rabbit_amqqueue:delete(Q, false, false, {ACTING_USER}).")

    def count_consumers(self, queue: str) -> int:
        """Return the number of consumers of a queue."""
        return int(self._evaluate(f"{_lookup(queue)}, length(rabbit_amqqueue:consumers(Q))."))

    def forget_consumers(self, queue: str) -> None:
        """Let a quorum queue forget its consumers, as RabbitMQ does by mistake: nobody tells them."""
        self._evaluate(
            f"{_lookup(queue)}, Leader = amqqueue:get_pid(Q), "
            "{ok, {_, Consumers}, _} = ra:leader_query(Leader, fun rabbit_fifo:query_consumers/1), "
            "[ra:process_command(Leader, rabbit_fifo:make_checkout({element(2, C), element(1, C)}, cancel, #{})) "
            "|| C <- maps:values(Consumers)]."
        )

    def add_vhost(self, name: str) -> None:
        """Make a virtual host, and give guest all permissions on it."""
        self._evaluate(f"ok = rabbit_vhost:add({binary(name)}, {ACTING_USER}).")
        self.permit(vhost=name)


def _lookup(queue: str) -> str:
    """Return the Erlang expression that binds Q to a queue."""
    return f"{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r({binary(DEFAULT_VHOST)}, queue, {binary(queue)}))"
