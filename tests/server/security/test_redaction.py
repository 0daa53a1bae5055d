# SPDX-License-Identifier: MIT
import pytest

from ashapp.server.security.redaction import redact

SECRET = "hunter2"
LONG = "4eC39HqLyjWDarjtT1zdp7dc"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:hunter2@db:5432/shop is down",
        "postgresql://app:hun/t@er/hunter2@db/shop is down",
        "redis://:hunter2@cache:6379/0",
        "https://hunter2@github.test/",
        "mongodb://app:hunter2@a:27017,b:27017/?replicaSet=x",
        "mysql+pymysql://app:hunter2@db?charset=utf8",
        "Max retries exceeded with url: https://api.test/v1?key=hunter2",
        "https://api.test/v1#hunter2",
        "url: /v1?access_token=hunter2&page=2",
        "host=db password=hunter2 user=app",
        "host=db password = 'the hunter2' user=app",
        "Server=db;User Id=app;Pwd=hunter2;Encrypt=yes",
        "{'user': 'app', 'password': 'hunter2'}",
        '{"apiKey": "hunter2", "page": 2}',
        "Settings(db_password='hunter2', client_secret=hunter2)",
        "('password', 'hunter2')",
        "AccountName=shop;AccountKey=hunter2==;EndpointSuffix=core.test",
        "passwd : hunter2",
        "Authorization: Bearer hunter2",
        "Proxy-Authorization: Basic hunter2=",
        "refused: bearer hunter2",
        "headers: {'Cookie': 'session=hunter2'}",
        "b'secret': b'hunter2'",
        "invalid password 'hunter2'",
        "the token is hunter2",
        f"AWS refuses {LONG}",
        f"https://hooks.test/services/T0/B0/{LONG}",
        f"JWT eyJhbGciOiJIUzI1NiIsInR5cCI.{LONG}.{LONG}",
        f"-----BEGIN PRIVATE KEY----- {LONG}",
        "no such table\n[SQL: SELECT ?]\n[parameters: ('hunter2',)]",
    ],
)
def test_what_stands_where_secrets_stand_or_looks_like_one_is_taken_out(text: str) -> None:
    assert SECRET in text or LONG in text
    found = redact(text, {})
    assert SECRET not in found
    assert LONG not in found


@pytest.mark.parametrize(
    "text",
    [
        "[Errno 111] Connection refused",
        "no answer within 1 s; its last run goes on still",
        'connection to "db" (10.0.0.1), port 5432 failed: password authentication failed for user "app"',
        "Error 111 connecting to redis:6379. Connection refused.",
        "db.c9akciq32rgw.eu-west-1.rds.amazonaws.com: Name or service not known",
        "duplicate key value violates unique constraint",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "http://api.test:8080/health answers 503",
    ],
)
def test_what_a_person_needs_is_left(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("API_KEY", "hunter2"),
        ("GITHUB_TOKEN", "hunter2"),
        ("SECRET_KEY", "hunter2"),
        ("PGPASSWORD", "hunter2"),
        ("SQLALCHEMY_DATABASE_URI", "postgresql://app:hunter2@db/shop"),
        ("BROKER", "amqp://app:hunter%32@mq/"),
    ],
)
def test_what_is_a_secret_by_a_variable_is_taken_out_wherever_it_stands(name: str, value: str) -> None:
    assert redact("('app', 'hunter2') was refused", {name: value}) == "('app', '***') was refused"


def test_words_in_variables_are_no_secrets() -> None:
    variables = {"SESSION_COOKIE": "true", "AUTH": "on", "HOME": "/home/app", "KEYBOARD": "qwertz"}
    assert redact("the qwertz in /home/app is on: true", variables) == "the qwertz in /home/app is on: true"


def test_it_is_one_line_of_a_bounded_length() -> None:
    assert redact("\n \n first\x1b[31m\nsecond", {}) == "first [31m"
    assert redact("word " * 1000, {}).endswith("word wo...")
    assert len(redact("word " * 1000, {})) == 300
    assert redact("", {}) == ""


def test_what_an_attacker_might_have_made_takes_no_time() -> None:
    for text in ("_" * 100_000, "a1" * 100_000, "password " * 100_000, "://" * 100_000, "a://b?" * 100_000):
        assert len(redact(text, {})) <= 300
