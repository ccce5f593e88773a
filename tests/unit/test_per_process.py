"""What is made once per process, whoever asks, and never crosses a fork."""

import os
import signal
import threading

from uploadmill.backends.storage.per_process import PerProcess


def test_all_threads_get_the_same_until_it_is_given_back():
    made, closed = [], []
    clients = PerProcess(lambda: made.append(len(made)) or made[-1], closed.append)
    start = threading.Barrier(4)
    got = []

    def ask():
        start.wait()
        got.append(clients.get())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 0, 0] == got

    clients.close()
    clients.close()
    assert [0] == closed
    assert 1 == clients.get()


def test_a_fork_while_another_thread_makes_one_makes_its_own():
    started, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    def make():
        if os.getpid() == parent:
            started.set()
            go_on.wait(10)
        return os.getpid()

    clients = PerProcess(make, lambda _client: None)
    thread = threading.Thread(target=clients.get)
    thread.start()
    assert started.wait(10)
    child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(0 if clients.get() == os.getpid() else 1)
    try:
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        go_on.set()
        thread.join()
    assert parent == clients.get()
