<?php
/*
 * A shop's listeners, in PHP. With the bridge.toml in this folder, a worker uses the PHP-FPM pool that runs this file.
 */

declare(strict_types=1);

use Bridge\Event;
use Bridge\Reject;
use Bridge\Retry;

require __DIR__ . '/receiver.php';

Bridge\receive([
    'account.created' => function (Event $event): void {
        $account = $event->payload();
        if (!filter_var($account['email'] ?? '', FILTER_VALIDATE_EMAIL)) {
            throw new Reject('an account without an e-mail address');
        }
        error_log("welcome, {$account['email']}");
    },
    'stock.counted' => function (Event $event): void {
        if (!is_dir('/srv/shop/stock')) {
            throw new Retry(after: 30, why: 'the warehouse is away');
        }
        file_put_contents("/srv/shop/stock/{$event->id}.json", $event->data);
    },
]);
