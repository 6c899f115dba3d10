"""The engine's lock, which native code takes as well."""

import threading
import time

from jit.lock import Lock


def test_native_code_and_threads_exclude_each_other() -> None:
    word: list[int] = []  # what native code would hold

    def take() -> int:
        if word:
            return 0
        word.append(threading.get_ident())
        return 1

    lock = Lock(take, word.clear)
    order: list[str] = []

    def thread() -> None:
        with lock:
            order.append("thread")

    with lock, lock:
        assert len(word) == 1  # taken once, however deep
        other = threading.Thread(target=thread)
        other.start()
        time.sleep(0.01)
        order.append("first")
    other.join(30)
    assert order == ["first", "thread"] and not word

    word.append(0)  # now native code has it
    other = threading.Thread(target=thread)
    other.start()
    time.sleep(0.01)
    order.append("native")
    word.clear()
    other.join(30)
    assert order[2:] == ["native", "thread"] and not word
