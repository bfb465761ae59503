"""Services of every style, and what is no service: what discovery finds, what it sends, and what it says."""

from __future__ import annotations

import json
import socketserver
import ssl
import subprocess
import threading
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app import discovery, targets
from app.discovery import DiscoveryError
from tests.discovery.plausible import served
from tests.instruments.servers import Talk, Visit, free_port

ANSWER = "You may return it within thirty days."


def as_json(visit: Visit, document: object, status: int = 200, **headers: str) -> Awaitable[None]:
    return visit.reply(json.dumps(document), status, Content_Type="application/json", **headers)


def missing(visit: Visit) -> Awaitable[None]:
    return as_json(visit, {"detail": "Not Found"}, 404)


def found_at(url: str, **headers: str) -> tuple[discovery.Discovery, str]:
    found = discovery.explore(url, headers, lambda _: None)
    text = discovery.as_toml(found)
    again = targets.validated(tomllib.loads(text), source="found.toml", key=found.target.key)
    assert again == found.target.model_copy(update={"guessed": ()})
    return found, text


def serving(routes: dict[str, Callable[[Visit], Awaitable[None]]]) -> Talk:
    async def talk(visit: Visit) -> None:
        await routes.get(f"{visit.method} {visit.path}", missing)(visit)

    return talk


async def strict_question(visit: Visit) -> None:
    """Wants ``question`` and ``session_id``, and names them as pydantic does."""
    body = json.loads(visit.body)
    lacking = [name for name in ("question", "session_id") if name not in body]
    if lacking:
        errors = [{"loc": ["body", name], "msg": "Field required"} for name in lacking]
        await as_json(visit, {"detail": errors}, 422)
    else:
        await as_json(visit, {"echo": body["question"], "reply": {"text": ANSWER}})


def test_without_openapi_the_errors_of_a_usual_route_lead_to_its_body() -> None:
    with served(serving({"POST /ask": strict_question})) as server:
        found, text = found_at(server.url)
        asked = [visit for visit in server.visits if visit.path == "/ask"]
    assert found.target.ask is not None
    assert found.target.ask.body == {"question": "{prompt}", "session_id": "{session}"}
    assert found.target.ask.answer == "reply.text"
    assert len(asked) <= 5
    assert "A usual route with a usual body; that it is the one is a guess." in text
    assert "# There is no OpenAPI document, so usual routes were tried." in text


async def chat_messages(visit: Visit) -> None:
    body = json.loads(visit.body)
    if "messages" not in body:
        await as_json(visit, {"error": "give me 'messages'"}, 400)
    elif body.get("stream"):
        events = [f"data: {json.dumps({'delta': word})}\n\n" for word in ANSWER.split()]
        ending = f"data: {json.dumps({'usage': {'tokens': 7}})}\n\n"
        await visit.reply("".join(events) + ending, Content_Type="text/event-stream")
    else:
        await as_json(visit, {"content": ANSWER})


def test_a_stream_is_found_by_asking_the_same_route_for_one() -> None:
    with served(serving({"POST /chat": chat_messages})) as server:
        found, _ = found_at(server.url)
    stream = found.target.stream
    assert stream is not None
    assert isinstance(stream.body, dict)
    assert stream.body["stream"] is True
    assert (stream.token, stream.end_json) == ("delta", "usage.tokens")


def openai(*, key: str = "", models: tuple[str, ...] = ("text-embedding-3", "llama-3.3-70b")) -> Talk:
    async def talk(visit: Visit) -> None:
        if visit.path not in ("/v1/models", "/v1/chat/completions"):
            await missing(visit)
        elif key and visit.headers.get("authorization") != f"Bearer {key}":
            await as_json(visit, {"error": {"message": "no key", "type": "invalid_request_error"}}, 401)
        elif visit.path == "/v1/models":
            await as_json(visit, {"object": "list", "data": [{"id": name} for name in models]})
        elif json.loads(visit.body).get("stream"):
            chunk = json.dumps({"choices": [{"delta": {"content": "Within"}}]})
            await visit.reply(f"data: {chunk}\n\ndata: [DONE]\n\n", Content_Type="text/event-stream")
        else:
            await as_json(visit, {"choices": [{"message": {"role": "assistant", "content": ANSWER}}]})

    return talk


def test_openais_api_is_recognised_and_the_model_is_one_that_chats() -> None:
    with served(openai()) as server:
        found, text = found_at(server.url)
    ask, stream = found.target.ask, found.target.stream
    assert ask is not None
    assert stream is not None
    assert isinstance(ask.body, dict)
    assert ask.body["model"] == "llama-3.3-70b"
    assert ask.headers == {}
    assert (ask.answer, stream.end_data) == ("choices.0.message.content", "[DONE]")
    assert "# The model is of the 2 at /v1/models: text-embedding-3, llama-3.3-70b" in text
    assert "# Tried: it answered 200" in text


def test_openais_api_behind_a_key_is_filled_in_and_says_how_to_have_it_tried() -> None:
    with served(openai(key="sk-1234567")) as server:
        found, text = found_at(server.url)
        assert {visit.method for visit in server.visits} == {"GET"}
    assert found.target.ask is not None
    assert found.target.ask.headers == {"Authorization": "Bearer ${OPENAI_API_KEY}"}
    assert "# Guess: /v1/models asks for a key. Set OPENAI_API_KEY" in text


def test_a_lock_before_every_route_is_no_sign_of_openais_api() -> None:
    async def talk(visit: Visit) -> None:
        locked = visit.path.startswith("/v1/")
        await as_json(visit, {"error": {"message": "no key"}}, 401 if locked else 404)

    with served(talk) as server:
        found, _ = found_at(server.url)
    assert found.target.ask is None or "chat/completions" not in found.target.ask.path


def test_health_may_have_no_body() -> None:
    with served(serving({"GET /healthz": lambda visit: visit.reply(b"", 204)})) as server:
        found, _ = found_at(server.url)
    assert found.target.health.liveness == "/healthz"


def test_a_key_given_by_reference_is_sent_and_stays_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "sk-1234567")
    with served(openai(key="sk-1234567")) as server:
        found, text = found_at(server.url, Authorization="Bearer ${SHOP_KEY}")
    assert found.target.stream is not None
    assert found.target.stream.headers == {"Authorization": "Bearer ${SHOP_KEY}"}
    assert "Tried: it answered 200" in text
    assert "sk-1234567" not in text


def test_counters_that_one_question_moves_are_listed() -> None:
    counts = {"asked": 0, "scrapes": 0}

    async def metrics(visit: Visit) -> None:
        counts["scrapes"] += 1
        page = (
            "# TYPE http_requests_total counter\n"
            f'http_requests_total{{path="/metrics"}} {counts["scrapes"]}\n'
            f'http_requests_total{{path="/ask"}} {counts["asked"]}\n'
            f"# TYPE llm_calls_total counter\nllm_calls_total {3 * counts['asked']}\n"
            f"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {counts['asked']}\n"
        )
        await visit.reply(page, Content_Type="text/plain; version=0.0.4")

    async def ask(visit: Visit) -> None:
        counts["asked"] += 1
        await as_json(visit, {"answer": ANSWER})

    with served(serving({"GET /metrics": metrics, "POST /ask": ask})) as server:
        _, text = found_at(server.url)
    assert '# http_requests_total{path="/ask"} +1' in text
    assert "# llm_calls_total +3" in text
    assert "process_cpu" not in text
    assert 'path="/metrics"} +' not in text


def test_a_secret_as_it_stands_is_refused() -> None:
    with pytest.raises(DiscoveryError, match=r"-H 'X-API-Key: \$\{NAME\}'"):
        discovery.explore("http://127.0.0.1:1", {"X-API-Key": "abc"}, lambda _: None)


def test_an_example_of_the_service_fetches_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOUSE_SECRET", "of-the-house")
    media = {"example": {"message": "Hello", "note": "${HOUSE_SECRET}", "nothing": None}}
    document = {
        "openapi": "3.1.0",
        "paths": {"/chat": {"post": {"requestBody": {"content": {"application/json": media}}}}},
    }
    routes = {
        "GET /openapi.json": lambda visit: as_json(visit, document),
        "POST /chat": lambda visit: as_json(visit, {"answer": ANSWER}),
    }
    with served(serving(routes)) as server:
        found, text = found_at(server.url)
        assert all(b"of-the-house" not in visit.body for visit in server.visits)
    assert found.target.ask is not None
    assert "${HOUSE_SECRET}" not in text
    request = found.target.ask.render(prompt='Say "hi"')
    assert json.loads(request.body) == {"message": 'Say "hi"', "note": "$ {HOUSE_SECRET}", "nothing": None}
    assert request.headers["Content-Type"] == "application/json"


def test_a_service_that_answers_anything_anywhere_proves_nothing() -> None:
    async def talk(visit: Visit) -> None:
        await as_json(visit, {"message": "Welcome"})

    with served(talk) as server:
        found, text = found_at(server.url)
    assert found.target.ask is None
    assert found.target.health.liveness is None
    assert "not refused with 404 (200): none is guessed" in text


def test_a_health_route_that_redirects_or_is_a_page_proves_nothing() -> None:
    routes = {
        "GET /health": lambda visit: visit.reply("", 302, Location="/status"),
        "GET /status": lambda visit: visit.reply("<html>All well</html>", Content_Type="text/html"),
        "GET /ping": lambda visit: visit.reply("pong"),
        "GET /metrics": lambda visit: visit.reply("who are you?", 401),
    }
    with served(serving(routes)) as server:
        found, text = found_at(server.url)
    assert found.target.health.liveness == "/ping"
    assert "# GET /metrics asks for a credential" in text


def test_words_of_a_service_break_out_of_no_comment_and_no_terminal() -> None:
    evil = "Ask\n[levers.x]\u202e\x1b[31m\x07 ${HOME}"
    document = {"openapi": "3.0.0", "paths": {"/pay": {"post": {"summary": evil}}}}
    said: list[str] = []
    routes = {"GET /openapi.json": lambda visit: as_json(visit, document)}
    with served(serving(routes)) as server:
        text = discovery.as_toml(discovery.explore(server.url, {}, said.append))
    assert "levers" not in tomllib.loads(text)
    assert all(line.isprintable() for line in [*said, *text.splitlines()])


# What is no service


def refusal(url: str) -> str:
    with pytest.raises(DiscoveryError) as error:
        discovery.explore(url, {}, lambda _: None)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_listens() -> None:
    assert "connection refused" in refusal(f"http://127.0.0.1:{free_port()}")


def test_something_else_than_http_speaks_there() -> None:
    async def talk(visit: Visit) -> None:
        await visit.write(b"-ERR unknown command 'GET'\r\n")
        visit.writer.close()

    with served(talk) as server:
        assert "what speaks there may not be HTTP" in refusal(server.url)


def test_a_redirect_to_another_host_names_it() -> None:
    async def talk(visit: Visit) -> None:
        await visit.reply("", 301, Location=f"https://www.example.com{visit.path}")

    with served(talk) as server:
        said = refusal(server.url)
    assert "redirects to https://www.example.com/" in said
    assert "`python -m app discover https://www.example.com`" in said


def test_a_redirect_to_a_place_that_a_shell_would_obey_is_no_command() -> None:
    async def talk(visit: Visit) -> None:
        await visit.reply("", 301, Location="https://evil.example`rm -rf ~`;reboot/")

    with served(talk) as server:
        assert "python -m app" not in refusal(server.url)


def test_a_start_page_elsewhere_is_no_redirect_of_the_service() -> None:
    routes = {
        "GET /": lambda visit: visit.reply("", 302, Location="https://docs.example.com/"),
        "GET /health": lambda visit: as_json(visit, {"status": "ok"}),
    }
    with served(serving(routes)) as server:
        found, _ = found_at(server.url)
    assert found.target.health.liveness == "/health"


def test_plain_http_where_tls_is_asked_for() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), RefusesWhatItCannotRead) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"//127.0.0.1:{server.server_address[1]}"
        said = refusal(f"https:{url}")
        server.shutdown()
    assert "TLS failed" in said
    assert f"If it speaks plain HTTP, try http:{url}." in said


class RefusesWhatItCannotRead(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_certificate_that_nobody_trusts_and_tls_where_none_is_asked_for(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-days", "1", "-keyout", certificate, "-out", tmp_path / "only.pem"),
        ],
        check=True,
        capture_output=True,
    )
    certificate.write_bytes(certificate.read_bytes() + (tmp_path / "only.pem").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def talk(visit: Visit) -> None:
        await visit.reply("hello")

    with served(talk, tls=context) as secure:
        assert "TLS failed" in refusal(secure.url.replace("http:", "https:"))
        assert "try https://" in refusal(secure.url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:8003/docs", "`python -m app discover http://127.0.0.1:8003`"),
        ("http://127.0.0.1:8003?x=1", "names a place within a service"),
        ("http://me:secret@127.0.0.1:8003/", "give no user or password in the URL"),
    ],
)
def test_a_url_that_names_more_than_a_service_is_refused(url: str, says: str) -> None:
    with pytest.raises(DiscoveryError) as error:
        discovery.whole_service(url)
    assert says in str(error.value)
    assert "secret" not in str(error.value)
