<?php
// A php-memcached client (libmemcached) that logs in by SASL; prints what it saw, one JSON object. Arguments: port, user, password.

[, $port, $username, $password] = $argv;
$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$client->setSaslAuthData($username, $password);
$client->addServer("127.0.0.1", (int) $port);
$seen = [];
$seen["set"] = $client->set("app1:php", "v");
$seen["get"] = $client->get("app1:php");
$seen["get_multi"] = $client->getMulti(["app1:php", "app1:none"]);
$seen["denied"] = $client->set("other", "v");
$seen["afterwards"] = $client->get("app1:php");
echo json_encode($seen), "\n";
