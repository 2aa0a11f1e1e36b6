<?php
/*
 * Receives deferred events in PHP, with nothing but $_SERVER and php://input: the worker sends each as one FastCGI
 * request, and believes nothing but the header Bridge-Outcome. It needs no library, and PHP 8.1.
 */

declare(strict_types=1);

namespace Bridge;

/** A deferred event, as it was deferred; `attempt` counts from 1. */
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

    /** The data as JSON says it. Throws \JsonException where it is none, which makes the event fail. */
    public function payload(): mixed
    {
        return json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
    }
}

/** Throw it, and the event is a dead letter at once: it can never succeed. */
final class Reject extends \Exception
{
}

/** Throw it, and the event comes again after so many seconds. It spends an attempt, as anything else that is thrown. */
final class Retry extends \Exception
{
    public function __construct(public readonly int $after, string $why = '')
    {
        parent::__construct($why);
    }
}

/**
 * Calls the listener of the event that this request is, and answers with the verdict.
 *
 * @param array<string, callable(Event): void> $listeners by the event's name; '#' takes every other
 */
function receive(array $listeners): void
{
    // Set by the worker and by no HTTP client: what comes in through a web server is HTTP_*.
    if (($_SERVER['BRIDGE_REPLAY'] ?? null) !== '1') {
        http_response_code(404);
        return;
    }
    ob_start(); // the verdict is a header, and goes before what a listener prints
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
