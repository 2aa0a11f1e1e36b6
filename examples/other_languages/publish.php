<?php

// Publishes an event with nothing but an AMQP client (php-amqplib):
//
//   php publish.php amqp://localhost/ order.paid '{"id": 17}' [SECONDS]

require_once 'PhpAmqpLib/autoload.php'; // with Composer: vendor/autoload.php

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

define('SITE', getenv('BRIDGE_NAMESPACE') ?: 'bridge');

/** Return the exchange and the routing key for an event that is due after some seconds, at most 1,048,575. */
function destination(string $name, int $seconds): array
{
    if ($seconds === 0) {
        return [SITE . '.events', $name];
    }
    $bits = str_pad(decbin($seconds), 20, '0', STR_PAD_LEFT);
    $level = sprintf('%02d', strlen(decbin($seconds)) - 1);
    return [SITE . ".delay.$level", implode('.', str_split($bits)) . ".e.$name"];
}

/** Publish an event. When this returns, RabbitMQ has it on its disks. */
function publish(AMQPStreamConnection $connection, string $name, string $json, int $seconds = 0): string
{
    $id = bin2hex(random_bytes(16));
    $message = new AMQPMessage($json, [
        'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT,
        'message_id' => $id,
        'content_type' => 'application/json',
        'timestamp' => time(),
        'app_id' => 'shop-php',
    ]);
    $error = null;
    $channel = $connection->channel();
    $channel->confirm_select();
    $channel->set_return_listener(function ($code, $text) use (&$error) {
        $error = "no queue takes it: $text";
    });
    $channel->set_nack_handler(function () use (&$error) {
        $error = 'RabbitMQ rejected it: a queue or the disk is full';
    });
    [$exchange, $key] = destination($name, $seconds);
    $channel->basic_publish($message, $exchange, $key, true);
    $channel->wait_for_pending_acks_returns(5);
    $channel->close();
    if ($error !== null) {
        throw new RuntimeException("event $name: $error");
    }
    return $id;
}

[, $url, $name, $json] = $argv;
$at = parse_url($url);
$connection = new AMQPStreamConnection(
    $at['host'],
    $at['port'] ?? 5672,
    urldecode($at['user'] ?? 'guest'),
    urldecode($at['pass'] ?? 'guest'),
    urldecode(substr($at['path'] ?? '/', 1)) ?: '/'
);
try {
    echo publish($connection, $name, $json, (int) ($argv[4] ?? 0)), "\n";
} catch (Exception $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
} finally {
    $connection->close();
}
