"""Weights are found without a network, downloaded whole and checked, or refused with a remedy."""

import hashlib
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.separate.tiny_demucs import write_bag
from workstation.model import (
    CancelledError,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
)
from workstation.separate import weights
from workstation.separate.download import any_answers
from workstation.separate.protocol import EngineOptions
from workstation.separate.weights import (
    MODELS,
    Bag,
    find_bag,
    find_weights,
    local_models,
    network_reachable,
    obtain_weights,
    published_name,
    published_url,
    require_weights,
)
from workstation.session.lock import SessionLock

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIGNATURE = "955717e8"
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Caches of this test alone, and no server anywhere."""
    for name in ("WORKSTATION_CACHE_DIR", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setenv("HF_ENDPOINT", CLOSED)
    monkeypatch.setattr(weights, "META_URL", CLOSED)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    any_answers.cache_clear()
    yield tmp_path / "home"
    any_answers.cache_clear()


class Server:
    """A model server on this machine, with the tricks that networks play.

    Attributes:
        content: What it sends for every file.
        breaks_after: Bytes after which the next answers break off; None for never.
        redirects: Whether it redirects first, announcing `announces`, as the hub does.
        refuses: Path parts for which it answers 404.
        seen: Requests: path and the header `Range`.
    """

    def __init__(self):
        self.content = CONTENT
        self.breaks_after = None
        self.redirects = False
        self.announces = SHA256
        self.refuses = ()
        self.hangs = False
        self.seen = []
        self.over = threading.Event()

    def answer(self, request):
        self.seen.append((request.path, request.headers.get("Range")))
        if self.hangs:
            self.over.wait(10)
            return
        if any(part in request.path for part in self.refuses):
            request.send_error(404)
            return
        if self.redirects and "resolve" in request.path:
            request.send_response(302)
            request.send_header("Location", "/blob")
            request.send_header("X-Linked-Etag", f'"{self.announces}"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self._send(request)

    def _send(self, request):
        wanted = request.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.breaks_after])


@contextmanager
def serving(server, monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                server.answer(self)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{http.server_address[1]}"
    monkeypatch.setattr(weights, "META_URL", f"{address}/demucs")
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setitem(weights.PUBLISHED_SHA256, SIGNATURE, SHA256)
    try:
        yield server
    finally:
        server.over.set()
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server(monkeypatch):
    with serving(Server(), monkeypatch) as running:
        yield running


def files_in(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


# -- the table ------------------------------------------------------------------------


def test_the_table_says_what_demucs_itself_says_of_bags_and_files():
    import msgspec
    from demucs.hf import hf_repo_name
    from demucs.pretrained import REMOTE_ROOT, ROOT_URL, _parse_remote_files

    urls = _parse_remote_files(REMOTE_ROOT / "files.txt")
    named = {path.stem: path for path in REMOTE_ROOT.glob("*.yaml")}
    assert MODELS.keys() == {name for name in named if not name.startswith("repro_")}
    for name, model in MODELS.items():
        assert msgspec.yaml.decode(named[name].read_bytes(), type=Bag) == model.bag
        assert model.hub_repository == hf_repo_name(name)
        for signature in model.bag.models:
            file = urls[signature].removeprefix(ROOT_URL)
            assert file.endswith("/" + published_name(signature))
            assert published_url(signature) == f"{CLOSED}/{file}"


def test_every_published_network_belongs_to_one_model_and_has_a_whole_digest():
    counts = Counter(s for model in MODELS.values() for s in model.bag.models)
    assert set(counts) == set(weights.PUBLISHED_SHA256)
    assert set(counts.values()) == {1}
    assert all(len(digest) == 64 for digest in weights.PUBLISHED_SHA256.values())


# -- finding --------------------------------------------------------------------------


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_nothing_is_here_at_first_but_everything_published_can_be_downloaded():
    for name, model in MODELS.items():
        state = find_weights(name, EngineOptions())
        assert not state.available
        assert state.missing == model.bag.models
        assert state.downloadable
        assert state.words == "can be downloaded"


def test_weights_are_found_in_every_cache_and_the_users_folder_comes_first(home, tmp_path):
    mine = tmp_path / "mine"
    hub = home / "HF_HUB_CACHE" / "models--adefossez--HTDemucs"
    places = [
        home / "TORCH_HOME" / "hub" / "checkpoints" / "955717e8-8726e21a.th",
        hub / "snapshots" / "aaaa" / "955717e8.safetensors",
        home / "WORKSTATION_CACHE_DIR" / "weights" / "955717e8-8726e21a.th",
        mine / "955717e8-8726e21a.th",
        mine / "955717e8.safetensors",
    ]
    mine.mkdir()
    for place in places:
        put(place)
        state = find_weights("htdemucs", EngineOptions(models_dir=mine))
        assert state.available
        assert state.files == {SIGNATURE: place}
        assert state.words == "here"


def test_of_several_snapshots_of_the_hub_the_current_one_is_taken(home):
    hub = home / "HF_HUB_CACHE" / "models--adefossez--HTDemucs"
    for revision in ("aaaa", "bbbb", "cccc"):
        put(hub / "snapshots" / revision / "955717e8.safetensors")
    put(hub / "refs" / "main").write_text("bbbb")
    assert find_weights("htdemucs", EngineOptions()).files[SIGNATURE].parent.name == "bbbb"


def test_a_model_of_four_is_here_only_when_all_are(home):
    bag = MODELS["htdemucs_ft"].bag.models
    folder = home / "WORKSTATION_CACHE_DIR" / "weights"
    for signature in bag[:3]:
        put(folder / published_name(signature))
    assert find_weights("htdemucs_ft", EngineOptions()).missing == bag[3:]
    put(folder / published_name(bag[3]))
    assert find_weights("htdemucs_ft", EngineOptions()).available


def test_looking_takes_less_than_fifty_milliseconds(tmp_path):
    for k in range(200):
        put(tmp_path / "mine" / f"own{k}.safetensors")
    options = EngineOptions(models_dir=tmp_path / "mine")
    started = time.perf_counter()
    for _ in range(5):
        find_weights("htdemucs", options)
    assert (time.perf_counter() - started) / 5 < 0.05


def test_an_unknown_model_suggests_a_near_name(tmp_path):
    put(tmp_path / "mine" / "drumsplit.safetensors")
    options = EngineOptions(models_dir=tmp_path / "mine")
    for typed, meant in (("htdemuks", "htdemucs"), ("drumsplt", "drumsplit")):
        with pytest.raises(UsageError) as caught:
            find_weights(typed, options)
        assert f'"{meant}"' in caught.value.remedy


# -- the user's folder ----------------------------------------------------------------


def test_the_users_folder_lists_bags_and_checkpoints_that_belong_to_none(tmp_path):
    for name in (
        "solo.safetensors",
        "aa11-0123abcd.th",
        "bb22.th",
        "955717e8-8726e21a.th",
        "notes.txt",
        ".hidden.safetensors",
        "plain-name.th",
    ):
        put(tmp_path / name)
    write_bag(tmp_path, "duo", ["aa11", "bb22"])
    write_bag(tmp_path, "htdemucs", ["aa11"])
    assert local_models(tmp_path) == ["duo", "plain-name", "solo"]
    assert local_models(None) == []


def test_a_bag_in_the_users_folder_takes_the_place_of_the_published_one(tmp_path):
    path = put(tmp_path / "aa11.safetensors")
    write_bag(tmp_path, "htdemucs", ["aa11"], weights=[[1, 1, 1, 1]], segment=7.8)
    assert find_bag("htdemucs", tmp_path) == Bag(("aa11",), ((1.0, 1.0, 1.0, 1.0),), 7.8)
    state = find_weights("htdemucs", EngineOptions(models_dir=tmp_path))
    assert state.files == {"aa11": path}


@pytest.mark.parametrize("signature", ["../../x", "/etc/passwd", "a/b", "..", "", "C:\\x", "a\\b"])
def test_a_bag_cannot_reach_out_of_its_folder(tmp_path, signature):
    write_bag(tmp_path, "evil", [signature])
    with pytest.raises(InputError, match="no plain name") as caught:
        find_weights("evil", EngineOptions(models_dir=tmp_path))
    assert "evil.yaml" in caught.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "models: 3",
        "models: []",
        "model: ['a']",
        "models: ['a']\nweights: yes",
        "!!python/object:os.system {}",
        "models: ['a']" + " " * 70000,
        "\x00\xff",
    ],
)
def test_what_is_no_bag_is_named(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="not a bag of models") as caught:
        find_weights("mine", EngineOptions(models_dir=tmp_path))
    assert "mine.yaml" in caught.value.problem
    assert "mine" in local_models(tmp_path)


def test_two_checkpoints_of_one_name_are_refused(tmp_path):
    put(tmp_path / "aa11-01234567.th")
    put(tmp_path / "aa11.th")
    with pytest.raises(InputError, match="both the checkpoint") as caught:
        local_models(tmp_path)
    assert "Remove one" in caught.value.remedy


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere") as caught:
        find_weights("htdemucs", EngineOptions(models_dir=tmp_path / "nowhere"))
    assert "--models-dir" in caught.value.remedy


def test_a_bag_whose_checkpoint_is_missing_says_which(tmp_path):
    write_bag(tmp_path, "duo", ["aa11"])
    options = EngineOptions(models_dir=tmp_path)
    state = find_weights("duo", options)
    assert not state.downloadable
    assert state.words == "incomplete: no aa11"
    with pytest.raises(UnavailableError, match='"aa11"'):
        require_weights("duo", options)


# -- the network ----------------------------------------------------------------------


def test_offline_fails_at_once_with_the_file_to_copy(server):
    with pytest.raises(UnavailableError, match="not to be used") as caught:
        obtain_weights("htdemucs", EngineOptions(offline=True), JobContext())
    assert published_url(SIGNATURE) in caught.value.remedy
    assert "--models-dir" in caught.value.remedy
    assert server.seen == []


def test_weights_that_are_here_need_no_network(home):
    path = put(home / "WORKSTATION_CACHE_DIR" / "weights" / "955717e8-8726e21a.th")
    assert obtain_weights("htdemucs", EngineOptions(offline=True), JobContext()) == {
        SIGNATURE: path
    }


def test_without_a_network_it_fails_within_the_time_of_the_probe():
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="not reachable"):
        obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert time.monotonic() - started < 3.5


def test_a_server_that_never_answers_counts_as_unreachable_within_three_seconds(
    server, monkeypatch
):
    monkeypatch.setattr("workstation.separate.download.PROBE_S", 0.3)
    server.hangs = True
    started = time.monotonic()
    assert not network_reachable()
    assert time.monotonic() - started < 1


def test_the_answer_of_the_probe_is_remembered(server):
    assert network_reachable()
    asked = len(server.seen)
    assert asked >= 1
    server.refuses = ("/",)
    assert network_reachable()
    assert len(server.seen) <= 2


def test_one_server_that_answers_is_enough(server):
    server.refuses = ("demucs/",)
    assert network_reachable()


def test_servers_that_refuse_are_as_good_as_none(server):
    server.refuses = ("/",)
    assert not network_reachable()


def test_a_download_ends_under_its_name_with_rising_progress(server, home):
    seen = []
    job = JobContext(lambda fraction, label: seen.append((fraction, label)))
    files = obtain_weights("htdemucs", EngineOptions(), job)
    assert files[SIGNATURE].read_bytes() == CONTENT
    assert files_in(home) == [published_name(SIGNATURE)]
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9
    assert {label for _, label in seen} == {"downloading htdemucs"}


def test_a_download_that_broke_goes_on_where_it_stopped(server, home):
    server.breaks_after = 300_000
    server.refuses = ("resolve/main/955717e8",)
    with pytest.raises(UnavailableError, match="broke after 300000 of"):
        obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files_in(home) == [published_name(SIGNATURE) + ".partial"]
    server.breaks_after = None
    server.seen.clear()
    files = obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files[SIGNATURE].read_bytes() == CONTENT
    assert server.seen[-1][1] == "bytes=300000-"


def test_a_cancelled_download_keeps_its_part_and_no_final_name(server, home):
    job = JobContext(lambda fraction, _: fraction > 0.3 and job.cancel())
    with pytest.raises(CancelledError):
        obtain_weights("htdemucs", EngineOptions(), job)
    assert files_in(home) == [published_name(SIGNATURE) + ".partial"]
    assert (
        obtain_weights("htdemucs", EngineOptions(), JobContext())[SIGNATURE].read_bytes() == CONTENT
    )


def test_a_part_longer_than_the_file_is_thrown_away(server, home):
    folder = home / "WORKSTATION_CACHE_DIR" / "weights"
    put(folder / (published_name(SIGNATURE) + ".partial")).write_bytes(CONTENT + b"more")
    files = obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files[SIGNATURE].read_bytes() == CONTENT


def test_another_file_than_the_published_one_is_never_kept(server, home):
    server.content = b"something else"
    server.redirects = True
    with pytest.raises(UnavailableError, match="wrong SHA-256"):
        obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files_in(home) == []


def test_the_hub_steps_in_and_its_file_must_be_what_it_announces(server, home):
    server.refuses = ("demucs/",)
    server.redirects = True
    files = obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files[SIGNATURE].name == "955717e8.safetensors"
    assert files[SIGNATURE].read_bytes() == CONTENT


def test_a_hub_that_announces_no_digest_is_not_believed(server, home):
    server.refuses = ("demucs/",)
    with pytest.raises(UnavailableError, match="does not say"):
        obtain_weights("htdemucs", EngineOptions(), JobContext())
    assert files_in(home) == []


def test_two_processes_do_not_download_the_same_file_at_once(server, home):
    folder = home / "WORKSTATION_CACHE_DIR" / "weights"
    folder.mkdir(parents=True)
    said = []

    def other_is_done(_, label):
        if not said:
            (folder / published_name(SIGNATURE)).write_bytes(CONTENT)
            lock.__exit__(None, None, None)
        said.append(label)

    lock = SessionLock(folder)
    lock.__enter__()
    files = obtain_weights("htdemucs", EngineOptions(), JobContext(other_is_done))
    assert files[SIGNATURE].read_bytes() == CONTENT
    assert "waiting" in said[0]
    assert not any(range_ or "8726" in path for path, range_ in server.seen[2:])
