<?php
/*
 * Receives deferred events in PHP, from $_SERVER and php://input. The worker sends each event as one FastCGI request,
 * and reads the result from the header Bridge-Outcome only. Needs PHP 8.1 and no library.
 */

declare(strict_types=1);

namespace Bridge;

/** A deferred event. `attempt` counts from 1. */
final class Event
{
    public function __construct(
        public readonly string $id,
        public readonly string $name,
        public readonly string $source,
        public readonly string $time,
        public readonly string $contentType,
        public readonly string $data,
        public readonly int $attempt,
        public readonly string $queue,
    ) {
    }

    /** Returns the decoded JSON data. Throws \JsonException for invalid JSON, which makes the event fail. */
    public function payload(): mixed
    {
        return json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
    }
}

/** Throw it if the event can never succeed: the event becomes a dead letter at once. */
final class Reject extends \Exception
{
}

/** Throw it to receive the event again after `$after` seconds. Like every exception, it uses up an attempt. */
final class Retry extends \Exception
{
    public function __construct(public readonly int $after, string $why = '')
    {
        parent::__construct($why);
    }
}

/** Throw it to receive the event again after `$after` seconds without using up an attempt, as when an API answers 429. */
final class Snooze extends \Exception
{
    public function __construct(public readonly float $after, string $why = '')
    {
        parent::__construct($why);
    }
}

/** Throw it to pause the event's queue until a person has looked. The event keeps its place. */
final class Halt extends \Exception
{
}

/**
 * Calls the listener of this request's event, and answers with the verdict.
 *
 * @param array<string, callable(Event): void> $listeners by the event's name; '#' is called for every other event
 */
function receive(array $listeners): void
{
    // Only the worker can set this: a web server passes the headers of its clients as HTTP_*.
    if (($_SERVER['BRIDGE_REPLAY'] ?? null) !== '1') {
        http_response_code(404);
        return;
    }
    ob_start(); // the verdict is a header, so it must be sent before a listener's output
    try {
        $event = read();
        $listener = $listeners[$event->name] ?? $listeners['#'] ?? null;
        if ($listener === null) {
            throw new \LogicException("no listener for {$event->name}");
        }
        $listener($event);
        header('Bridge-Outcome: delivered');
    } catch (Reject $why) {
        answer(422, 'reject', $why);
    } catch (Retry $why) {
        header("Retry-After: {$why->after}");
        answer(425, 'retry', $why);
    } catch (Snooze $why) {
        header(sprintf('Bridge-Wait: %.3F', $why->after));
        answer(503, 'overloaded', $why);
    } catch (Halt $why) {
        answer(503, 'halt', $why);
    } catch (\Throwable $error) {
        answer(500, 'failed', $error);
    }
}

function read(): Event
{
    $data = file_get_contents('php://input');
    if (strlen($data) !== (int) $_SERVER['CONTENT_LENGTH']) {
        throw new \LengthException('the body is cut: see post_max_size and enable_post_data_reading');
    }
    return new Event(
        rawurldecode($_SERVER['HTTP_CE_ID']),
        $_SERVER['HTTP_CE_TYPE'],
        rawurldecode($_SERVER['HTTP_CE_SOURCE']),
        $_SERVER['HTTP_CE_TIME'],
        $_SERVER['CONTENT_TYPE'] ?? '',
        $data,
        (int) $_SERVER['BRIDGE_ATTEMPT'],
        $_SERVER['BRIDGE_QUEUE'],
    );
}

function answer(int $status, string $outcome, \Throwable $error): void
{
    http_response_code($status);
    header("Bridge-Outcome: $outcome");
    $said = [
        'type' => $error::class,
        'message' => substr($error->getMessage(), 0, 2000),
        'traceback' => substr((string) $error, 0, 8000),
    ];
    header('Bridge-Error: ' . json_encode($said, JSON_INVALID_UTF8_SUBSTITUTE));
}
