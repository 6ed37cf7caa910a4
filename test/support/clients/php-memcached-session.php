<?php
// A php-memcached client (libmemcached) at work, in text or binary; prints what it saw, one JSON object without cas numbers.
// Arguments: the port to connect to, and "text" or "binary".

$client = new Memcached();
$client->setOptions([
    Memcached::OPT_BINARY_PROTOCOL => $argv[2] === "binary",
    Memcached::OPT_COMPRESSION => false,
    Memcached::OPT_TCP_NODELAY => true,
    Memcached::OPT_POLL_TIMEOUT => 5000,
    Memcached::OPT_RECV_TIMEOUT => 5000000,
]);
$client->addServer("127.0.0.1", (int) $argv[1]);
$seen = [];

/** What a call returned, and the code that says why. */
$told = fn ($result) => [$result, $client->getResultCode()];

$seen["version"] = preg_match('/^\d+\.\d+\.\d+$/', current($client->getVersion()));
$seen["set"] = $told($client->set("s", "text", 60));
$client->set("i", 5);
$client->set("o", ["x" => [1, null, true]]);
$seen["types"] = [$client->get("s"), $client->get("i"), $client->get("o"), $told($client->get("nowhere"))];
$items = [];
for ($i = 0; $i < 500; $i++) $items["key:$i"] = "value $i";
$seen["setMulti"] = $told($client->setMulti($items));
$seen["getMulti"] = $client->getMulti(array_keys($items)) === $items;
$seen["getMulti in order"] = $client->getMulti(["i", "nowhere", "s"], Memcached::GET_PRESERVE_ORDER);
$extended = $client->get("s", null, Memcached::GET_EXTENDED);
$seen["extended"] = [$extended["value"], $extended["flags"], $extended["cas"] > 0];
$many = $client->getMulti(["s", "i"], Memcached::GET_EXTENDED);
$seen["extended many"] = [count($many), $many["s"]["cas"] > 0, $many["i"]["value"]];
$seen["cas"] = [
    $told($client->cas($extended["cas"], "s", "newer")),
    $told($client->cas($extended["cas"], "s", "late")),
    $client->get("s"),
];
$seen["delayed"] = [$client->getDelayed(["s", "nowhere", "i"]), count($client->fetchAll())];
$seen["add"] = [$told($client->add("s", 1)), $told($client->add("t", "1"))];
$seen["replace"] = [$told($client->replace("t", "2")), $told($client->replace("nowhere", 1))];
$seen["increment"] = [$client->increment("i"), $client->increment("i", 10), $client->decrement("i", 3)];
$seen["increment nothing"] = $told($client->increment("nowhere"));
if ($argv[2] === "binary") {
    $seen["initial"] = [$client->increment("n", 1, 7, 60), $client->increment("n", 1, 7, 60)];
}
$seen["append"] = [$client->append("s", "!"), $client->prepend("s", "?"), $client->get("s")];
$seen["append to nothing"] = $told($client->append("nowhere", "!"));
$seen["touch"] = [$told($client->touch("s", 100)), $told($client->touch("nowhere", 100))];
$seen["delete"] = [$told($client->delete("s")), $told($client->delete("s")), $told($client->get("s"))];
$seen["deleteMulti"] = $client->deleteMulti(["key:0", "key:1", "nowhere"]);
$big = str_repeat("\r\n\0", 300000);
$seen["big"] = [$client->set("big", $big), $client->get("big") === $big];
$seen["filled"] = [$client->get("hello/Bob"), $client->getMulti(["hello/Tim", "nowhere"])];
$extended = $client->get("hello/Eve", null, Memcached::GET_EXTENDED);
$seen["filled extended"] = $extended === false ? null : [$extended["value"], $extended["flags"], $extended["cas"] > 0];
$seen["stats"] = current($client->getStats())["curr_connections"] >= 1;
$seen["flush"] = [$told($client->flush()), $told($client->get("key:2"))];
$client->quit();
echo json_encode($seen), "\n";
