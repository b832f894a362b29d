"""What every store keeps, whatever keeps it."""

import os
import pickle
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.chat.storage import SAVED_REPLIES, MemoryStore, StoredMessage
from chatlab.chat.storage_sqlite import APPLICATION_ID, PURGED_BYTES, PURGED_ROWS, VERSION, SqliteStore

FOLDER = tempfile.TemporaryDirectory(prefix="chatlab-")  # for stores that have no file of their own


def sqlite_store(path=None):
    path = path or Path(tempfile.mkdtemp(dir=FOLDER.name)) / "chat.db"
    return SqliteStore(str(path), pickle.dumps, pickle.loads)


STORES = [MemoryStore, sqlite_store]


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def store(request):
    store = request.param()
    yield store
    store.close()


@pytest.fixture
def ada(store):
    return store.create("ada").id


def put(store, id, *texts):
    return [store.put(id, id, "ada", text) for text in texts]


def texts(store, id, after=0):
    return [letter.text for letter in store.mail(id, after)]


# ---- accounts


def test_an_account_is_found_by_name_and_by_id(store, ada):
    assert store.by_name("ada").id == ada
    assert store.by_id(ada).name == "ada"


def test_an_account_that_never_was_is_none(store):
    assert store.by_name("ada") is None
    assert store.by_id(1) is None


def test_an_id_is_never_used_again(store, ada):
    store.delete(ada)
    assert store.create("ada").id != ada
    assert store.by_id(ada) is None


def test_the_next_owner_of_a_name_inherits_nothing(store, ada):
    put(store, ada, "private")
    store.set_balance(ada, 100)
    store.save_reply(ada, "once", b"fingerprint", "answer")
    store.delete(ada)
    heir = store.create("ada")
    assert heir.password_hash == ""
    assert store.unread(heir.id) == store.balance(heir.id) == store.acknowledged(heir.id) == 0
    assert store.saved_reply(heir.id, "once") is None


@given(st.sets(st.text("abéλ", min_size=1, max_size=3)), st.text("abéλ", max_size=3), st.text("abéλ", max_size=2))
def test_names_come_in_order_after_one_name_and_with_one_prefix(names, after, prefix):
    for make in STORES:
        store = make()
        for name in names:
            store.create(name)
        assert list(store.names(after, prefix)) == sorted(n for n in names if n > after and n.startswith(prefix))


def test_a_deleted_name_is_listed_no_more(store, ada):
    store.create("bob")
    store.delete(ada)
    assert list(store.names()) == ["bob"]


# ---- mail


def test_messages_are_numbered_from_one_in_each_mailbox(store, ada):
    bob = store.create("bob").id
    assert put(store, ada, "x", "y") == [1, 2]
    assert put(store, bob, "z") == [1]


def test_a_number_is_never_used_again(store, ada):
    put(store, ada, "one", "two")
    store.remove(ada, [1, 2])
    assert put(store, ada, "three") == [3]


def test_mail_is_kept_whole(store, ada):
    store.put(ada, 7, "bob", "hi", returned=True)
    assert list(store.mail(ada)) == [StoredMessage(1, 7, "bob", "hi", True)]


def test_mail_comes_oldest_first_from_any_number_on(store, ada):
    put(store, ada, "one", "two", "three")
    assert texts(store, ada) == ["one", "two", "three"]
    assert texts(store, ada, after=2) == ["three"]


def test_what_is_acknowledged_is_dropped(store, ada):
    put(store, ada, "one", "two", "three")
    store.acknowledge(ada, 2)
    assert texts(store, ada) == ["three"]
    assert store.acknowledged(ada) == 2


def test_an_acknowledgement_never_drops_mail_that_is_still_to_come(store, ada):
    put(store, ada, "one")
    store.acknowledge(ada, 1_000)
    put(store, ada, "two")
    assert texts(store, ada) == ["two"]
    assert store.acknowledged(ada) == 1


def test_an_older_acknowledgement_changes_nothing(store, ada):
    put(store, ada, "one", "two")
    store.acknowledge(ada, 2)
    store.acknowledge(ada, 1)
    store.acknowledge(ada, -5)
    assert store.acknowledged(ada) == 2


def test_removing_counts_what_was_there(store, ada):
    put(store, ada, "one", "two", "three")
    assert store.remove(ada, [3, 1, 1, 99, -1]) == 2
    assert texts(store, ada) == ["two"]


def test_a_hundred_thousand_messages_are_dropped_within_half_a_second(store, ada):
    put(store, ada, *["x"] * 100_000)
    started = time.thread_time()
    store.acknowledge(ada, 100_000)
    assert time.thread_time() - started < 0.5
    assert store.unread(ada) == 0


STEPS = st.lists(
    st.tuples(st.just("put"), st.none())
    | st.tuples(st.just("acknowledge"), st.integers(0, 12))
    | st.tuples(st.just("remove"), st.lists(st.integers(0, 12), max_size=3)),
    max_size=30,
)


@given(STEPS)
def test_a_mailbox_behaves_like_a_plain_list_of_numbers(steps):
    for make in STORES:
        store = make()
        id, numbers, last = store.create("ada").id, [], 0
        for step, value in steps:
            if step == "put":
                last += 1
                numbers.append(last)
                put(store, id, "x" * last)
            elif step == "acknowledge":
                numbers = [n for n in numbers if n > value]
                store.acknowledge(id, value)
            else:
                assert store.remove(id, value) == len(set(value) & set(numbers))
                numbers = [n for n in numbers if n not in value]
            assert [message.number for message in store.mail(id)] == numbers
            assert store.unread(id) == store.by_id(id).unread == len(numbers)
            assert store.by_name("ada").mail_bytes == store.mail_bytes == sum(numbers)
        store.close()


def test_a_store_counts_its_accounts_and_what_their_mail_weighs(store, ada):
    bob = store.create("bob").id
    put(store, ada, "abc"), put(store, bob, "d", "é")
    assert (store.account_count, store.mail_bytes) == (2, 3 + 1 + 4)
    store.delete(ada)
    assert (store.account_count, store.mail_bytes) == (1, 3 + 1 + 4), "the mail is still there"
    store.forget(ada)
    assert store.mail_bytes == 1 + 4


# ---- accounts that were deleted and whose mail is still there


def test_the_mail_of_a_deleted_account_can_be_read_and_removed_until_it_is_forgotten(store, ada):
    put(store, ada, "one", "two", "three")
    store.acknowledge(ada, 1)
    store.delete(ada)
    assert store.by_name("ada") is store.by_id(ada) is None and list(store.names()) == []
    assert store.deleted() == [(ada, "ada")]
    assert texts(store, ada) == ["two", "three"]
    assert store.remove(ada, [2]) == 1 and texts(store, ada) == ["three"]
    store.forget(ada)
    assert store.deleted() == []


def test_a_new_account_of_a_deleted_ones_name_has_a_mailbox_of_its_own(store, ada):
    put(store, ada, "private")
    store.delete(ada)
    heir = store.create("ada").id
    assert texts(store, heir) == [] and texts(store, ada) == ["private"]
    store.forget(ada)
    assert store.by_name("ada").id == heir


# ---- balance, and answers already given


def test_a_balance_starts_at_nothing_and_holds_sixty_three_bits(store, ada):
    assert store.balance(ada) == 0
    store.set_balance(ada, 2**63 - 1)
    assert store.balance(ada) == 2**63 - 1


def test_an_answer_is_remembered_with_its_request(store, ada):
    assert store.saved_reply(ada, "rent") is None
    store.save_reply(ada, "rent", b"fingerprint", "answer")
    assert store.saved_reply(ada, "rent") == (b"fingerprint", "answer")


def test_of_too_many_answers_the_oldest_is_forgotten(store, ada):
    for n in range(SAVED_REPLIES + 1):
        store.save_reply(ada, str(n), n, n)
    assert store.saved_reply(ada, "0") is None
    assert store.saved_reply(ada, "1") == (1, 1)


# ---- what only a file can do


def test_all_that_was_committed_is_there_when_the_file_is_opened_again(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada = store.create("ada", "hash").id
    put(store, ada, "one", "two")
    store.acknowledge(ada, 1)
    store.set_balance(ada, 50)
    store.save_reply(ada, "rent", b"fingerprint", "answer")
    store.close()
    again = sqlite_store(tmp_path / "chat.db")
    assert again.by_name("ada") == (ada, "ada", "hash", 1, len("two"))
    assert (texts(again, ada), again.acknowledged(ada), again.balance(ada)) == (["two"], 1, 50)
    assert again.saved_reply(ada, "rent") == (b"fingerprint", "answer")
    again.close()


def test_an_id_and_a_number_are_not_used_again_after_a_restart(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada, bob = store.create("ada").id, store.create("bob").id
    put(store, ada, "one")
    store.remove(ada, [1])
    store.delete(bob)
    store.close()
    again = sqlite_store(tmp_path / "chat.db")
    assert again.create("bob").id > bob
    assert put(again, ada, "two") == [2]
    again.close()


def test_what_a_turn_wrote_is_kept_when_the_turn_ends_and_not_before(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada = store.create("ada").id
    store.commit()
    store.set_balance(ada, 50)
    assert after_a_crash(tmp_path, lambda left: left.balance(ada)) == 0
    store.commit()
    assert after_a_crash(tmp_path, lambda left: left.balance(ada)) == 50
    store.close()


def after_a_crash(folder, ask):
    """What a store says that opens the files as they lie there now."""
    with tempfile.TemporaryDirectory() as left:
        shutil.copytree(folder, left, dirs_exist_ok=True)
        store = sqlite_store(Path(left) / "chat.db")
        try:
            return ask(store)
        finally:
            store.close()


@pytest.mark.parametrize("spoilt", ["another kind of file", "another version"])
def test_a_file_that_is_no_chat_is_refused_and_left_alone(tmp_path, spoilt):
    path = tmp_path / "chat.db"
    path.write_bytes(
        b"no database, but long enough to be taken for one. " * 20 if spoilt == "another kind of file" else b""
    )
    if spoilt == "another version":
        store = sqlite_store(path)
        store._db.execute("pragma user_version = 99")
        store.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not a chatlab store"):
        sqlite_store(path)
    assert path.read_bytes() == before


# ---- a file


def test_a_file_that_another_store_has_open_is_refused_in_words(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    with pytest.raises(ValueError, match="chat.db cannot be opened: another program has it open"):
        SqliteStore(str(tmp_path / "chat.db"), pickle.dumps, pickle.loads, wait_s=0)
    store.close()


def test_a_file_can_be_opened_again_when_it_was_closed(tmp_path):
    first = sqlite_store(tmp_path / "chat.db")
    first.create("ada")
    first.commit()
    first.close()
    second = sqlite_store(tmp_path / "chat.db")
    assert second.by_name("ada").id == 1
    second.close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere"):
        sqlite_store(tmp_path / "nowhere" / "chat.db")


def test_what_a_failed_turn_wrote_is_not_kept(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    store.create("ada")
    store.commit()
    store.create("bob")
    store.rollback()
    assert (store.by_name("ada").id, store.by_name("bob")) == (1, None)
    store.close()


def test_what_a_failed_request_changed_in_the_counts_is_undone(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada = store.create("ada").id
    put(store, ada, "abc")
    store.commit()
    store.create("bob"), put(store, ada, "def"), store.remove(ada, [1])
    store.rollback()
    assert (store.account_count, store.mail_bytes, store.unread(ada)) == (1, 3, 1)
    store.close()


def steps_of(store, act) -> int:
    """How many steps SQLite's virtual machine takes for it."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    store._db.set_progress_handler(count, 1)
    act()
    store._db.set_progress_handler(None, 0)
    return steps


@pytest.fixture
def sqlite():
    store = sqlite_store()
    yield store
    store.close()


def test_a_message_costs_the_same_whatever_the_mailbox_holds(sqlite):
    ada = sqlite.create("ada").id

    def send():
        assert sqlite.by_name("ada").unread < 10**6
        put(sqlite, ada, "hi")

    put(sqlite, ada, "first")
    few = steps_of(sqlite, send)
    put(sqlite, ada, *["x"] * 5_000)
    assert steps_of(sqlite, send) <= few


def test_a_saved_reply_costs_the_same_however_many_are_saved(sqlite):
    ada = sqlite.create("ada").id

    def save(n):
        assert sqlite.saved_reply(ada, str(n)) is None
        sqlite.save_reply(ada, str(n), b"fingerprint", n)

    save(-1)
    few = steps_of(sqlite, lambda: save(0))
    for n in range(1, 2 * SAVED_REPLIES):
        save(n)
    assert steps_of(sqlite, lambda: save(2 * SAVED_REPLIES)) <= few + 20  # one of them is forgotten


def test_rows_of_acknowledged_messages_are_invisible_at_once_and_deleted_bit_by_bit(sqlite):
    ada = sqlite.create("ada").id
    put(sqlite, ada, *["x"] * 1_000)
    sqlite.acknowledge(ada, 900)
    assert sqlite.unread(ada) == len(texts(sqlite, ada)) == 100
    assert sqlite.remove(ada, [5, 950]) == 1
    rows = lambda: sqlite._one("select count(*) from mail")[0]  # noqa: E731
    before = rows()
    while sqlite.has_garbage:
        sqlite.purge()
        assert 0 <= before - rows() <= PURGED_ROWS
        before = rows()
    assert rows() == 99


def test_long_messages_are_deleted_a_few_at_a_time(sqlite):
    ada = sqlite.create("ada").id
    put(sqlite, ada, *["x" * 60_000] * 100)
    sqlite.acknowledge(ada, 100)
    put(sqlite, ada, *["x" * 60_000] * 100)
    sqlite.remove(ada, range(101, 201))
    texts_left = 200
    while sqlite.has_garbage:
        sqlite.purge()
        before, texts_left = texts_left, sqlite._one("select count(*) from texts")[0]
        assert before - texts_left <= 3 * PURGED_BYTES // 60_000
    assert texts_left == sqlite._one("select count(*) from mail")[0] == 0


def test_what_is_left_to_delete_is_found_again_after_a_restart(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    ada, bob = store.create("ada").id, store.create("bob").id
    put(store, ada, *["x"] * 500), put(store, bob, *["y"] * 500)
    store.acknowledge(ada, 450)
    store.delete(bob)
    store.close()
    again = sqlite_store(tmp_path / "chat.db")
    assert again.has_garbage and again.deleted() == [(bob, "bob")]
    assert (again.unread(ada), again.account_count, again.mail_bytes) == (50, 1, 550)
    again.forget(bob)
    while again.has_garbage:
        again.purge()
    assert again._one("select count(*) from mail")[0] == 50 and again.deleted() == []
    assert again._one("select count(*) from texts")[0] == 50
    again.close()


# ---- which file


@pytest.mark.parametrize("path", ["", ":memory:", "file:chat.db", "file:chat?mode=memory"])
def test_what_sqlite_takes_for_no_file_is_refused_in_words(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="a store is the path of a file, not .*; without a store the chat is kept in mem"
    ):
        sqlite_store(path) if path else SqliteStore("", pickle.dumps, pickle.loads)
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    sqlite_store("~/chat.db").close()
    assert (tmp_path / "chat.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="files have other rights here")
def test_only_its_owner_may_read_a_store_and_the_files_beside_it(tmp_path):
    store = sqlite_store(tmp_path / "chat.db")
    store.create("ada")
    store.commit()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) > 1
    store.close()


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(ValueError, match="is not a chatlab store|cannot be opened: Is a directory"):
        sqlite_store(tmp_path)


def sqlite_file(path, *statements):
    """An SQLite file as another program makes it."""
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


OURS = (f"pragma application_id = {APPLICATION_ID}", f"pragma user_version = {VERSION}")
FOREIGN = {
    "of another program": (["create table notes (text)"], "of another program"),
    "of another program, with our version": (["create table notes (text)", OURS[1]], "of another program"),
    "of another version": (["create table notes (text)", OURS[0], "pragma user_version = 99"], "its version is 99"),
    "with other tables": (["create table accounts (id)", *OURS], "its tables are not those of a chat"),
    "without a table": ([*OURS, "create table x (y)", "drop table x"], "its tables are not those of a chat"),
}


@pytest.mark.parametrize("statements, why", FOREIGN.values(), ids=list(FOREIGN))
def test_an_sqlite_file_that_is_no_chat_is_refused_and_not_touched_by_a_byte(tmp_path, statements, why):
    path = tmp_path / "other.db"
    sqlite_file(path, *statements)
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"other.db is not a chatlab store: .*{why}"):
        sqlite_store(path)
    assert path.read_bytes() == before and path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [1, 99, 100, 4_096, 10_000])
def test_a_file_that_ends_too_early_is_refused_or_empty(tmp_path, size):
    whole = tmp_path / "whole.db"
    sqlite_store(whole).close()
    cut = tmp_path / "cut.db"
    cut.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(ValueError, match="is not a chatlab store"):
        sqlite_store(cut)


def test_a_file_whose_making_was_interrupted_is_a_new_store(tmp_path):
    (tmp_path / "chat.db").touch()
    store = sqlite_store(tmp_path / "chat.db")
    assert store.create("ada").id == 1
    store.close()


def test_a_store_is_known_by_its_file_alone_from_its_first_moment(tmp_path):
    """The log beside it may be lost, or not be written back yet."""
    store = sqlite_store(tmp_path / "chat.db")
    shutil.copy(tmp_path / "chat.db", tmp_path / "copy.db")
    copy = sqlite_store(tmp_path / "copy.db")
    assert copy.account_count == 0
    copy.close(), store.close()
