# make help lists the tasks. `make run` and `make test` each work alone on a machine with Python 3.11+ and make.
SOURCE ?= demo
PYTHON ?= python3
PORT ?= 5000
BIN := .venv/bin
BAYESPILOT := $(BIN)/bayespilot
VARS := {source: $(SOURCE)}
# Most of what is installed is never imported: Python compiles the rest when it is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable

# Extras that a setup installs; CI adds spark.
EXTRAS = test
# Python keeps what it has compiled, whatever the caller's shell says: each process would compile it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run build publish reports summary loop mlflow docs lint lint-python lint-dbt test clean

help: ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'
	@test ! -x $(BAYESPILOT) || echo "More, and options: $(BAYESPILOT) --help"

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "BayesPilot needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[$(EXTRAS)]'
	touch .venv/installed

setup: .venv/installed ## create .venv and install what is pinned in constraints.txt

run: setup ## raw tables to retention_actions, published copy, reports and summary (SOURCE=demo, RUN_VARS='{…}')
	@$(BAYESPILOT) run --source $(SOURCE) $(if $(RUN_VARS),--vars "$(RUN_VARS)")

build: setup ## dbt build alone
	$(BIN)/dbt build --vars '$(VARS)'

publish: setup ## write the copy for BI and CRM readers
	@$(BAYESPILOT) publish --source $(SOURCE)

reports: setup ## policy.html and monitoring.html in reports/<source>/
	@$(BAYESPILOT) report --source $(SOURCE)

summary: setup ## print what the last run decided
	@$(BAYESPILOT) summary --source $(SOURCE)

loop: setup ## play the demo business forward, a few months in a few minutes, in a temporary folder
	@$(BAYESPILOT) simulate

# The tracking server is a large install that training does not need: it comes with the first `make mlflow`.
.venv/ui: .venv/installed
	$(INSTALL) '.[test,ui]'
	touch .venv/ui

mlflow: .venv/ui ## browse the training records of SOURCE at http://127.0.0.1:5000 (PORT=5000)
	@test -z "$$MLFLOW_TRACKING_URI" || { echo "MLFLOW_TRACKING_URI is set: the records are on that server, not here"; exit 1; }
	@test -f models_ml/artifacts/$(SOURCE)/mlflow.db || { echo "nothing has been trained for $(SOURCE) yet: make run SOURCE=$(SOURCE)"; exit 1; }
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/models_ml/artifacts/$(SOURCE)/mlflow.db --host 127.0.0.1 --port $(PORT)

docs: setup ## dbt docs of SOURCE, every column described, in target/
	@$(BAYESPILOT) docs --source $(SOURCE)

lint: setup ## ruff, mypy, sqlfluff, dbt parse
	@$(MAKE) --no-print-directory -j 2 lint-python lint-dbt

lint-python: ## ruff and mypy alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-dbt: ## dbt parse and sqlfluff alone
	$(BIN)/dbt --no-use-colors parse --warn-error --no-partial-parse
	$(BIN)/python scripts/lint_sql.py lint --processes 0 dbt_project

# Two workers share the cores: threads of OpenMP that wait for each other would take many times as long.
test: lint ## lint and every test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

clean: ## remove what runs leave behind (warehouses, pages, deployed pipelines and the service's log too)
	rm -rf target logs warehouse/*.duckdb* warehouse/published warehouse/serving warehouse/spark models_ml/artifacts reports/*/
