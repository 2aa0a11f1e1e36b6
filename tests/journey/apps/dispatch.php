<?php

// What the PHP side of Fervo's bundle and of mq2php's bundles reads: DEFERRED_DATA, as a form's field or as a parameter.
// It writes down what came, and behaves as the body of the message asks for.

$data = $_POST['DEFERRED_DATA'] ?? null;
$message = json_decode((string) $data, true);
$body = is_array($message) ? $message['body'] : base64_decode((string) $data, true);
file_put_contents(
    $_SERVER['EFFECTS'],
    json_encode([
        'post' => $data,
        'server' => $_SERVER['DEFERRED_DATA'] ?? null,
        'method' => $_SERVER['REQUEST_METHOD'],
        'script' => $_SERVER['SCRIPT_FILENAME'],
    ]) . "\n",
    FILE_APPEND | LOCK_EX
);
if ($body === 'warn') {
    error_log('a notice on the error output');
}
if ($body === 'fail' || $body === false) {
    http_response_code(500);
    echo "no: such\nluck";
}
