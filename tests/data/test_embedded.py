"""The embedded dataset is made once, in the cache, and by one of several processes."""

from pumpgan.data import embedded
from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import import_dataset


def test_it_is_drawn_once_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "FACES", 6)
    said = []
    first = embedded.synthetic_faces(said.append)
    made = (first / "dataset.json").stat().st_mtime_ns
    second = embedded.synthetic_faces(said.append)
    assert first == second and (first / "dataset.json").stat().st_mtime_ns == made
    assert "drawing 6 synthetic faces" in said[0] and str(first) in said[1]
    assert len(Dataset.open(first).entries) == 6 and Dataset.open(first).size == (64, 64)


def test_another_way_of_drawing_is_another_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "FACES", 2)
    first = embedded.synthetic_faces(lambda line: None)
    monkeypatch.setattr(embedded, "DRAWING", embedded.DRAWING + 1)
    assert embedded.synthetic_faces(lambda line: None) != first


def test_another_process_may_be_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PUMPGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "FACES", 4)

    def beaten(source, folder, **options):
        import_dataset(source, folder, **options)
        raise FileExistsError(f"{folder}: is not empty")

    monkeypatch.setattr(embedded, "import_dataset", beaten)
    assert (embedded.synthetic_faces(lambda line: None) / "dataset.json").exists()
