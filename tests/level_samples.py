"""A level that rises and falls while several threads work, and how high it stood at most."""

import threading


class Level:
    """Counts what is in memory now, and the most that was at once. For several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def add(self, count):
        with self.lock:
            self.now += count
            self.most = max(self.most, self.now)
