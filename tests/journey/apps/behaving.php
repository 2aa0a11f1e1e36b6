<?php
/*
 * The app behaving.py in PHP, on the receiver of the example: it does what each event asks. With VERDICT=status it sends
 * no verdict, only an HTTP status, like a program that does not know the bridge.
 */

declare(strict_types=1);

use Bridge\Event;
use Bridge\Reject;
use Bridge\Retry;
use Bridge\Snooze;

require $_SERVER['RECEIVER'];

function note(Event $event, string $step, bool $began): void
{
    $fields = [
        'id' => $event->id,
        'name' => $event->name,
        'attempt' => $event->attempt,
        'queue' => $event->queue,
        'pid' => getmypid(),
        'at' => microtime(true),
        'step' => $step,
        'began' => $began,
    ];
    file_put_contents($_SERVER['EFFECTS'], json_encode($fields) . "\n", FILE_APPEND);
}

function behave(Event $event, string $step): void
{
    [$verb, $argument] = explode(':', "$step:");
    match ($verb) {
        'ok' => null,
        'fail' => throw new RuntimeException('downstream is down'),
        'sleep' => usleep((int) (1e6 * (float) $argument)),
        'snooze' => snooze_once($event, (float) $argument),
        'retry' => throw new Retry((int) $argument, 'not yet'),
        'reject' => throw new Reject('never'),
        'kill' => posix_kill(getmypid(), SIGKILL),
        'exit' => exit((int) $argument),
        'status' => http_response_code((int) $argument),
    };
}

function snooze_once(Event $event, float $after): void
{
    if (substr_count(file_get_contents($_SERVER['EFFECTS']), $event->id) === 1) { // the line of this run
        throw new Snooze($after, 'not now');
    }
}

function run(Event $event): void
{
    $steps = $event->payload()['do'];
    $step = $steps[min($event->attempt, count($steps)) - 1];
    note($event, $step, true);
    behave($event, $step);
    note($event, $step, false);
}

if (($_SERVER['VERDICT'] ?? null) === 'status') {
    run(Bridge\read());
    return;
}

Bridge\receive([
    'data.kept' => fn (Event $event) => note($event, hash('sha256', $event->data) . " $event->contentType", false),
    '#' => run(...),
]);
