"""The pictures of docs/how-it-works.md, as tables. `python -m docs.pictures.draw` writes them next to this file."""

from pathlib import Path

from docs.pictures.drawing import Arrow, Box, Picture

JOURNEY = Picture(
    "journey",
    "The journey of an event",
    "A request calls defer() in the web process. The event goes to its queue on the broker, and defer() "
    "returns when the broker has confirmed it. A worker takes the event and sends it as a FastCGI request to "
    "a child, a warm process of the app, which calls the listeners. The child's verdict goes back to the "
    "worker. Delivered: the event is acknowledged. Failed: it waits on the broker and returns to its queue. "
    "Rejected, or attempts used up: it becomes a dead letter, which a person redrives or discards.",
    860,
    400,
    (
        Box(20, 40, 150, 110, ("web process", "a view calls", "defer()")),
        Box(250, 20, 330, 360, ("broker: SQLite or RabbitMQ",), "group"),
        Box(290, 60, 250, 70, ("queue", "events that are due")),
        Box(290, 180, 250, 70, ("waiting", "delays and retries"), "wait"),
        Box(290, 300, 250, 64, ("dead letters", "the ledger"), "bad"),
        Box(660, 40, 180, 110, ("worker", "takes, replays", "and settles events")),
        Box(660, 270, 180, 110, ("child", "warm process of the app", "calls the listeners"), "good"),
        Arrow(((170, 80), (288, 80)), "publish", (213, 72)),
        Arrow(((290, 112), (172, 112)), "confirm", (213, 130)),
        Arrow(((540, 80), (658, 80)), "take", (618, 72)),
        Arrow(((660, 104), (542, 104)), "acknowledge", (618, 122)),
        Arrow(((690, 150), (542, 205)), "failed", (618, 170)),
        Arrow(((330, 180), (330, 132)), "due", (350, 160)),
        Arrow(((710, 150), (620, 290), (542, 325)), "rejected", (620, 318)),
        Arrow(((780, 150), (780, 268)), "request", (812, 215)),
        Arrow(((740, 270), (740, 152)), "verdict", (712, 235)),
        Arrow(((290, 332), (270, 332), (270, 100), (288, 100)), "redrive", (225, 225)),
    ),
)

STATES = Picture(
    "states",
    "The states of an event in a queue",
    "An event that defer() was called for is ready, or waits for its time; while the broker is away it may be "
    "in the spool. A worker takes a ready event and has it in hand, then it runs. After the run it is "
    "delivered, or waits for a retry, or is a dead letter. A cancelled event, and one that has expired, "
    "becomes a dead letter without a run. A person redrives a dead letter, which is then ready again, or "
    "discards it.",
    860,
    330,
    (
        Box(20, 30, 130, 56, ("spooled", "on this host"), "wait"),
        Box(20, 140, 130, 56, ("waiting", "for its time"), "wait"),
        Box(220, 80, 120, 60, ("ready",)),
        Box(420, 80, 120, 60, ("in hand", "of a worker")),
        Box(610, 80, 110, 60, ("running", "in a child")),
        Box(740, 20, 105, 48, ("delivered",), "good"),
        Box(610, 240, 110, 60, ("dead letter",), "bad"),
        Box(220, 250, 120, 48, ("discarded",)),
        Arrow(((150, 58), (190, 58), (218, 92)), "relayed", (195, 48)),
        Arrow(((150, 168), (190, 168), (218, 128)), "due", (172, 152)),
        Arrow(((340, 110), (418, 110)), "taken", (378, 102)),
        Arrow(((540, 110), (608, 110)), "slot", (574, 102)),
        Arrow(((720, 95), (792, 95), (792, 70)), "returned", (790, 112)),
        Arrow(((630, 140), (600, 180), (152, 180)), "Retry, Snooze, failed", (400, 174)),
        Arrow(((680, 140), (680, 238)), "rejected, used up", (755, 195)),
        Arrow(((480, 140), (530, 262), (608, 262)), "cancelled, expired", (460, 236)),
        Arrow(((610, 285), (342, 285)), "discard", (450, 302)),
        Arrow(((610, 250), (560, 222), (280, 222), (280, 142)), "redrive", (330, 215)),
    ),
)

LADDER = Picture(
    "ladder",
    "The delay ladder on RabbitMQ",
    "Each level of the ladder holds messages for a power of two seconds. A wait of 13 seconds is 8 and 4 and "
    "1: the message is held at level 3 for 8 seconds, at level 2 for 4 seconds, skips level 1, is held at "
    "level 0 for 1 second, and then comes to its queue.",
    860,
    240,
    (
        Box(20, 80, 120, 64, ("retry", "in 13 s = 1101")),
        Box(190, 60, 110, 104, ("level 3", "bit 1", "holds 8 s"), "wait"),
        Box(340, 60, 110, 104, ("level 2", "bit 1", "holds 4 s"), "wait"),
        Box(490, 60, 110, 104, ("level 1", "bit 0", "is skipped")),
        Box(640, 60, 110, 104, ("level 0", "bit 1", "holds 1 s"), "wait"),
        Box(770, 80, 76, 64, ("queue",), "good"),
        Arrow(((140, 112), (188, 112))),
        Arrow(((300, 112), (338, 112)), "after 8 s", (320, 52)),
        Arrow(((395, 164), (395, 205), (695, 205), (695, 166)), "after 12 s", (545, 198)),
        Arrow(((750, 112), (768, 112)), "after 13 s", (790, 52)),
    ),
)

POOL = Picture(
    "pool",
    "The pool of a worker",
    "A worker has a slot for each child. Children 1 and 2 run an event each. A spare child is warm and takes "
    "the place of a child that is lost: one that crashed, exceeded its deadline, or is due for recycling. A "
    "new child boots and becomes the next spare.",
    860,
    330,
    (
        Box(20, 30, 170, 270, ("worker",), "group"),
        Box(40, 70, 130, 60, ("slot 1", "busy")),
        Box(40, 180, 130, 60, ("slot 2", "busy")),
        Box(310, 70, 170, 60, ("child", "runs an event"), "good"),
        Box(310, 180, 170, 60, ("child", "exceeds its deadline"), "bad"),
        Box(620, 125, 190, 60, ("spare", "warm, has run nothing")),
        Box(620, 240, 190, 60, ("booting", "imports and warms up"), "wait"),
        Arrow(((170, 100), (308, 100)), "request", (240, 92)),
        Arrow(((170, 210), (308, 210)), "request", (240, 228)),
        Arrow(((480, 210), (560, 270)), "is ended", (560, 232)),
        Arrow(((620, 155), (400, 155), (172, 195)), "takes the place", (540, 147)),
        Arrow(((715, 240), (715, 187)), "next spare", (760, 218)),
    ),
)

PICTURES = (JOURNEY, STATES, LADDER, POOL)

if __name__ == "__main__":
    for picture in PICTURES:
        (Path(__file__).parent / f"{picture.name}.svg").write_text(picture.svg(), "utf-8")
