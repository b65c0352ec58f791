# make lab    set everything up and open the notebooks in JupyterLab
# make test   set the same up and run every test, the notebooks among them; then once more what computes,
#             as on a processor with fewer features, because no result may hang on the last bits
# make run    execute the notebooks in place, so that their outputs can be committed
# make html   execute the notebooks into build/html
# make links REPO=owner/name   write the repository's address wherever it stands
# make clean  remove what make has made

PYTHON ?= python3
LAB_FLAGS ?=
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

.PHONY: lab test run html links clean

lab: $(READY)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/1.1-find-keypoints.ipynb $(LAB_FLAGS)

test: $(READY)
	$(BIN)/pytest --nbval -n auto --dist loadscope
	$(BIN)/python tests/reduced.py tests -m "not once" -n auto --dist loadscope

run: $(READY)
	$(BIN)/python tests/run_notebooks.py $(NOTEBOOKS)

html: $(READY)
	mkdir -p build/html && cp -r notebooks/images $(NOTEBOOKS) build/html
	$(BIN)/python tests/run_notebooks.py $(NOTEBOOKS:notebooks/%=build/html/%)
	$(BIN)/jupyter nbconvert --to html --template-file notebooks/.page.html.j2 $(NOTEBOOKS:notebooks/%=build/html/%)

OLD := $(shell sed -n 's|^Repository = "https://github.com/\(.*\)"|\1|p' pyproject.toml)
STAMPED := pyproject.toml README.md tests/bootstrap_cell.ipy $(NOTEBOOKS)
links:
	$(if $(REPO),,$(error Whose repository? For example: make links REPO=owner/name))
	sed -i.old -E 's|(github[a-z.]*/)$(OLD)|\1$(REPO)|g' $(STAMPED)
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
