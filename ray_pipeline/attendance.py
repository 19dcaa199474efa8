"""Which nodes of a job are there, with a healthy server, and what of that is news for a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Attendance:
    """Starts with all nodes present. `nodes` maps their ids to the addresses by which people know them."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._away: dict[str, str] = {}
        self._lost: set[str] = set()
        self._news: list[str] = []

    def away(self, node: str, why: str) -> None:
        """Notes that the server of a node was waited for in vain."""
        if node not in self._away:
            self.tell(node, f"its chunks go to other nodes until its server is there: {why}")
        self._away[node] = why

    def present(self, node: str, address: str) -> None:
        """Notes that the server of a node is there; the node may have joined the cluster later than the job."""
        self._nodes.setdefault(node, address)
        if self._away.pop(node, None) is not None:
            self.tell(node, "its server is there again")

    def look(self, alive: Collection[str]) -> None:
        """Notes which nodes are no longer in the cluster."""
        for node in sorted(self._nodes.keys() - self._lost - set(alive)):
            self._lost.add(node)
            self.tell(node, "it has left the cluster; its chunks go to other nodes")

    def anyone(self) -> bool:
        """Whether any node is there with a healthy server, as far as is known."""
        return bool(self._nodes.keys() - self._lost - self._away.keys())

    def all_away(self) -> str:
        """What is wrong with each node, for a job that cannot go on."""
        if len(self._nodes) == len(self._away) == 1:
            return next(iter(self._away.values()))
        whys = self._away | dict.fromkeys(sorted(self._lost), "it has left the cluster")
        told = "\n".join(f"  {self._name(node)}: {why}" for node, why in whys.items())
        return f"no node of the job has a healthy server any more:\n{told}"

    def tell(self, node: str, what: str) -> None:
        """Notes what a person should know about a node."""
        self._news.append(f"{self._name(node)}: {what}")

    def take_news(self) -> list[str]:
        """What a person was not told yet."""
        news, self._news = self._news, []
        return news

    def _name(self, node: str) -> str:
        return f"node {self._nodes.get(node, '')} ({node[:8]})"
