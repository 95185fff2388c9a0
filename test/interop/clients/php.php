<?php
// Plays a scenario with the stomp extension (Debian: php-stomp) and prints what it sees, a JSON object a line.

[, $scenario, $host, $port, $login, $passcode, $version, $destination, $ca] = $argv;
$source = "$destination-in";

function say(array $seen): void
{
    echo json_encode($seen, JSON_UNESCAPED_UNICODE), "\n";
}

// It knows no versions: these headers ask for one.
$offer = $version === '1.0' ? [] : ['accept-version' => $version, 'host' => $host];
$open = function (string $passcode) use ($host, $port, $login, $offer): Stomp {
    $client = new Stomp("tcp://$host:$port", $login, $passcode, $offer);
    $client->setReadTimeout(15);
    return $client;
};

if ($scenario === 'refused') {
    try {
        $open('wrong');
    } catch (StompException $error) {
        say(['refused' => $error->getMessage()]);
    }
    exit;
}

$client = $open($passcode);
$subscribe = fn(string $ack) => $client->subscribe($source, ['id' => 'sub', 'ack' => $ack]);
$take = fn() => $client->readFrame();
// `ack` and `nack` give the message-id; what other versions want is added.
$reference = fn($frame, array $more = []) => $more + match ($version) {
    '1.0' => [],
    '1.1' => ['subscription' => 'sub'],
    '1.2' => ['id' => $frame->headers['ack']],
};
$report = fn($frame) => say(['message' => $frame->body, 'redelivered' => ($frame->headers['redelivered'] ?? '') === 'true']);

switch ($scenario) {
    case 'connect':
        say(['connected' => $client->getSessionId() !== false]);
        break;
    case 'send':
        // It escapes nothing: the caller does. It waits for the receipt that it is told to ask for.
        $kind = $version === '1.0' ? 'a:b' : 'a\cb';
        $headers = ['content-type' => 'text/plain', 'kind' => $kind, 'receipt' => 'sent'];
        say(['receipt' => $client->send($destination, 'héllo', $headers)]);
        break;
    case 'binary':
        $subscribe('auto');
        $body = $take()->body;
        say(['message' => bin2hex($body)]);
        $client->send($destination, $body);
        break;
    case 'auto':
        $subscribe('auto');
        for ($i = 0; $i < 3; $i++) {
            say(['message' => $take()->body]);
        }
        break;
    case 'client':
    case 'client-individual':
        $subscribe($scenario);
        $frames = [$take(), $take(), $take()];
        foreach ($frames as $frame) {
            say(['message' => $frame->body]);
        }
        $client->ack($frames[1], $reference($frames[1]));
        break;
    case 'nack':
        $subscribe('client-individual');
        $first = $take();
        $report($first);
        $client->nack($first, $reference($first));
        $again = $take();
        $report($again);
        $client->ack($again, $reference($again));
        break;
    case 'transaction':
        $subscribe('client-individual');
        [$first, $second] = [$take(), $take()];
        $client->begin('t1');
        $client->send($destination, 'undone', ['transaction' => 't1']);
        $client->ack($second, $reference($second, ['transaction' => 't1']));
        $client->abort('t1');
        $client->begin('t2');
        $client->send($destination, 'done', ['transaction' => 't2']);
        $client->ack($first, $reference($first, ['transaction' => 't2']));
        $client->commit('t2');
        say(['transactions' => true]);
        break;
    case 'reconnect':
        $subscribe('client-individual');
        $report($take());
        // It never connects again: its caller does, with a new object.
        try {
            $lost = $take() === false;
        } catch (StompException) {
            $lost = true;
        }
        do {
            try {
                $client = $open($passcode);
            } catch (StompException) {
                usleep(10_000);
                $client = null;
            }
        } while ($client === null);
        $client->subscribe($source, ['id' => 'sub', 'ack' => 'client-individual']);
        do {
            $frame = $client->readFrame();
            $report($frame);
            $client->ack($frame, $reference($frame));
        } while ($frame->body !== 'end');
        break;
}
unset($client);
say(['disconnected' => true]);
