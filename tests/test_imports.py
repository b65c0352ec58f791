"""`import helpers` is light, and refuses versions that are too old with the command that mends it.

Imports run one way, without circles.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import helpers

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[1]


def run(code, *folders):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*folders, ROOT]))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [("import helpers", set()), ("from helpers import checkpoints, media", {"numpy", "PIL", "huggingface_hub"})],
)
def test_import_is_light(statement, allowed):
    heavy = {"torch", "transformers", "cv2", "matplotlib", "skimage", "scipy", "numpy", "PIL", "huggingface_hub", "av"}
    result = run(f"{statement}; import sys; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) & heavy <= allowed


def pretend(folder, **versions):
    """Make `folder`, first on the path, one in which these versions seem installed."""
    for package, version in versions.items():
        info = folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


@pytest.mark.parametrize("version", ["4.57.1", "5.9", "5.14.9.dev0"])
def test_an_old_package_is_refused_with_its_remedy(tmp_path, version):
    pretend(tmp_path, transformers=version, torchvision="0.26")
    result = run("import helpers", tmp_path)
    minimum = helpers.MINIMUM["transformers"]
    assert f"ImportError: These notebooks need transformers >= {minimum} (found {version})" in result.stderr
    assert f'pip install --upgrade "transformers>={minimum}"' in result.stderr


@pytest.mark.parametrize("version", ["5.15", "5.15.0+local", "5.16.0.dev0", "6.0rc1", "10"])
def test_a_newer_package_is_fine(tmp_path, version):
    pretend(tmp_path, transformers=version, torchvision="0.26")
    assert run("import helpers", tmp_path).returncode == 0


HIDE_TORCHVISION = """
from importlib import metadata
version = metadata.version
def without(package):
    if package == "torchvision":
        raise metadata.PackageNotFoundError
    return version(package)
metadata.version = without
import helpers
"""


@pytest.mark.parametrize(("version", "works"), [("5.15.0", False), ("5.18.1", False), ("5.19", True), ("5.24.0", True)])
def test_without_torchvision_a_newer_transformers_is_needed(tmp_path, version, works):
    pretend(tmp_path, transformers=version)
    result = run(HIDE_TORCHVISION, tmp_path)
    assert (result.returncode == 0) == works
    if not works:
        assert f"need transformers >= 5.19 where torchvision is missing (found {version})" in result.stderr
        assert 'pip install --upgrade "transformers>=5.19"' in result.stderr


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(helpers.MINIMUM, "no-such-package", "1.0")
    with pytest.raises(ImportError, match=r'no-such-package >= 1\.0 \(not installed\).*"no-such-package>=1\.0"'):
        helpers._check_versions()


def test_minimum_versions_are_those_of_the_project_file():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in dependencies)
    assert bounds == {**bounds, **helpers.MINIMUM}


# Each may import those that stand after it, and the last ones nothing of this project.
ORDER = [
    "notebooks",
    "training",
    "benchmarks",
    "helpers.preflight",
    "helpers.batch",
    "helpers.pages",
    "helpers.coco",
    "helpers.draw",
    "helpers.exercises",
    "helpers.session",
    "helpers.movement",
    "helpers.face_model",
    "helpers.actors",
    "helpers.avatars",
    "helpers.faces",
    "helpers.lifter",
    "helpers.bodies",
    "helpers.keypoints",
    "helpers.views",
    "helpers.metrics",
    "helpers.geometry",
    "helpers.checkpoints",
    "helpers.media",
    "helpers.films",
    "helpers",
]
ALONE = {"helpers.checkpoints", "helpers.films", "helpers"}
APART = {"helpers.preflight"}  # imports inside of its checks, so that what is broken costs one line and not all
INVISIBLE = {"notebooks": {"training", "benchmarks"}}  # a reader has only `helpers` installed


def project():
    """Each module's text by its name, and each notebook's code."""
    sources = {}
    for path in [path for folder in ("helpers", "training", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        sources[name] = path.read_text(encoding="utf-8")
    for path in ROOT.glob("notebooks/*.ipynb"):
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        sources[f"notebooks.{path.stem}"] = TransformerManager().transform_cell(code)
    return sources


def place(module):
    """Where a module stands in ORDER: `helpers.exercises.faces` with `helpers.exercises`, `training.faces` first."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "helpers" else parts[0]


def imported(source):
    """Yield the name of each module or object that the source imports, and whether inside of a function."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from ((module + alias.name, node in inside) for alias in node.names)


def wrong_imports(sources):
    graph = {}
    for module, source in sources.items():
        here = place(module)
        if here not in ORDER:
            yield f"{module}: it has no place in ORDER yet"
            continue
        below = [] if here in ALONE else ORDER[ORDER.index(here) + 1 :]
        allowed = {here, *below} - INVISIBLE.get(here, set())
        graph[module] = set()
        for name, inside in imported(source):
            target = name if name in sources else name.rpartition(".")[0]
            if target.split(".")[0] not in ("helpers", "training", "benchmarks", "notebooks", "tests"):
                continue
            if inside and here not in APART:
                yield f"{module}: it imports {target} inside of a function; let imports run one way instead"
            if place(target) not in allowed:
                yield f"{module}: it must not import {target}"
            graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a circle: {' -> '.join(reversed(error.args[1]))}"


def test_imports_run_one_way():
    assert not list(wrong_imports(project()))


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("helpers.geometry", "from helpers.metrics import nme", "must not import helpers.metrics"),
        ("helpers.metrics", "from helpers import geometry, keypoints", "must not import helpers.keypoints"),
        ("helpers.media", "from helpers import checkpoints", "must not import helpers.checkpoints"),
        ("helpers.exercises.poses", "import helpers.draw", "must not import helpers.draw"),
        ("helpers.draw", "import training.faces", "must not import training.faces"),
        ("benchmarks.faces", "from training import faces", "must not import training.faces"),
        ("notebooks.1", "from benchmarks.faces import nme", "must not import benchmarks.faces"),
        ("helpers.draw", "def f():\n    from helpers import geometry", "geometry inside of a function"),
        ("training.faces", "from training.bodies import f", "a circle: training.*faces -> training.*bodies|bodies -> "),
        ("helpers.extra", "", "no place in ORDER"),
    ],
)
def test_a_wrong_import_is_found(module, source, message):
    sources = dict.fromkeys(["helpers.geometry", "helpers.keypoints", "helpers.checkpoints", "training.faces"], "")
    sources["training.bodies"] = "import training.faces\nfrom helpers import checkpoints, draw"
    (found,) = wrong_imports(sources | {"helpers.draw": "import numpy"} | {module: source})
    assert re.search(message, found)
