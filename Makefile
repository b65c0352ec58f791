# make lab    set everything up and open the notebooks in JupyterLab
# make test   set the same up and run every test, the notebooks among them; then once more what computes,
#             as on a processor with fewer features, because no result may hang on the last bits
# make run    execute the notebooks in place, so that their outputs can be committed
# make site   pages to read in build/site, from the committed outputs
# make room   one folder and zip to install from without a network: build/room; for another system
#             make room PLATFORM=win_amd64 PYTHON_VERSION=3.12   (macosx_14_0_arm64, manylinux_2_28_x86_64, ...)
# make links REPO=owner/name   write the repository's address wherever it stands
# make clean  remove what make has made

PYTHON ?= python3
LAB_FLAGS ?=
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

.PHONY: lab test run site room links clean

lab: $(READY)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/1.1-find-keypoints.ipynb $(LAB_FLAGS)

# A worker for each core, and so one thread for each worker.
test: export OMP_NUM_THREADS := 1
test: $(READY)
	$(BIN)/pytest --nbval -n auto --dist loadscope
	$(BIN)/python tests/reduced.py tests -m "not once" -n auto --dist loadscope

run: $(READY)
	$(BIN)/python tests/run_notebooks.py $(NOTEBOOKS)

site: $(READY)
	rm -rf build/pages build/site && mkdir -p build/pages
	cp -R notebooks pyproject.toml *.md site/. build/pages
	tar cf - helpers/checkpoints/*/README.md | tar xf - -C build/pages
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going build/pages build/site

# Of the requirements those for the notebooks. On Linux torch's own index has builds without CUDA, if it can be reached.
WHEELS := build/room/wheels
FOR := $(if $(PLATFORM),--only-binary :all: --platform $(PLATFORM)) $(if $(PYTHON_VERSION),--only-binary :all: --python-version $(PYTHON_VERSION))
CPU ?= --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu
room: $(READY)
	rm -rf build/room build/room.zip && mkdir -p $(WHEELS)
	sed '/^# The recipes/,$$d' requirements.txt > build/room/requirements.txt
	$(BIN)/pip download --quiet --no-deps $(FOR) $(CPU) --dest $(WHEELS) $$(grep -o '^torch==[0-9.]*' requirements.txt)
	$(BIN)/pip download --quiet --prefer-binary $(FOR) --find-links $(WHEELS) --dest $(WHEELS) -r build/room/requirements.txt
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir $(WHEELS) .
	cp -R notebooks room/. *.md LICENSE build/room
	cd build && ../$(BIN)/python -m zipfile -c room.zip room
	@ls $(WHEELS) | grep -i nvidia && echo "These carry CUDA: $(WHEELS) is gigabytes larger than it need be." || du -sh build/room.zip

OLD := $(shell sed -n 's|^Repository = "https://github.com/\(.*\)"|\1|p' pyproject.toml)
STAMPED := pyproject.toml README.md WORKSHOP.md tests/bootstrap_cell.ipy $(NOTEBOOKS)
links:
	$(if $(REPO),,$(error Whose repository? For example: make links REPO=owner/name))
	sed -i.old -E 's!(github[a-z.]*/|/gh/)$(OLD)!\1$(REPO)!g' $(STAMPED)
	rm $(STAMPED:=.old)

clean:
	rm -rf .venv build *.egg-info

# The one set-up, repeated only when the requirements change.
FITS = $(shell $(PYTHON) -c 'import sys, venv, ensurepip; print(sys.version_info >= (3, 11) or "")' 2>/dev/null)
define REMEDY
Python 3.11 or later with its venv module is needed (Debian, Ubuntu: apt install python3-venv), \
and "$(PYTHON) --version" says $(or $(shell $(PYTHON) --version 2>&1),nothing). Another: make lab PYTHON=/path/to/python3
endef
$(READY): requirements.txt pyproject.toml
	$(if $(FITS),,$(error $(REMEDY)))
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --requirement requirements.txt --editable .
	@touch $@
