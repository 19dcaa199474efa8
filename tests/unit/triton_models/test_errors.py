from __future__ import annotations

import pickle

from triton_models.errors import StorageError


def test_a_message_stays_as_it_was_written_on_its_way_between_processes() -> None:
    error = StorageError("the bucket is gone; look for it")
    error.args = (f"{error.args[0]}\nadvice of somebody else",)
    arrived = pickle.loads(pickle.dumps(error))
    assert isinstance(arrived, StorageError)
    assert str(arrived) == "the bucket is gone; look for it"
