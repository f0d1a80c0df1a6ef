# The ways in. Anything longer than a line or two lives in tools/. `make` alone shows the manual: tools/help.sh makes
# it of the lines below that begin with `##@` (a group of targets), of `target: ## what it does`, and of `##= VARIABLE`.
.DEFAULT_GOAL := help
SHELL := /bin/sh

##= ARGS      More arguments for the command behind the target. Default: none.
##= PYTHON    The Python of .venv, 3.11 to 3.13, a command or a path. Default: that of .venv, else the first found.
##= TESTS     test: files or folders, to run all their tests without linters.
##= N         soak, soak-training: how many runs. Default: 50 and 20.
##= SEED      soak, soak-training: what decides their ends. Default: 1.
PYTHON ?=
ARGS ?=
TESTS ?=
N ?=
SEED ?= 1
export PYTHON TESTS
# A run is a hundred processes that import boto3 or Ansible: to compile those anew each time costs a fifth of it.
unexport PYTHONDONTWRITEBYTECODE

# As `. .venv/bin/activate` does it, and with this folder's ansible.cfg in any environment.
in_venv := PATH="$(CURDIR)/.venv/bin:$$PATH" ANSIBLE_CONFIG="$(CURDIR)/ansible.cfg"

##@ Run

.PHONY: setup
setup: ## Make .venv from the lock file, where it is not up to date
	@tools/setup.sh

.PHONY: train
train: setup ## Rent, check, train, promote, terminate, report
	@$(in_venv) ansible-playbook train.yml $(ARGS)

.PHONY: preflight
preflight: setup ## The same up to the training; writes nothing
	@$(in_venv) ansible-playbook train.yml -e preflight_only=true $(ARGS)

.PHONY: runs
runs: setup ## List the runs, refresh the page of all of them
	@.venv/bin/python tools/runs.py $(ARGS)

.PHONY: stop
stop: ## Stop the embedded AWS
	@tools/stop.sh

##@ Break it

.PHONY: drill
drill: ## Break runs in every known way, show what came of each
	@tools/drill.sh tools.drills $(ARGS)

.PHONY: soak
soak: ## Kill N preflights, each at a random moment
	@tools/drill.sh tools.drills.soak --runs $(or $(N),50) --seed $(SEED) $(ARGS)

.PHONY: soak-training
soak-training: ## Kill N trainings, each at a random moment; resume them
	@tools/drill.sh tools.drills.training_kills --runs $(or $(N),20) --seed $(SEED) $(ARGS)

##@ Measure it

.PHONY: bench-preflight
bench-preflight: ## Measure the preflight next to the old script's way
	@tools/bench_preflight.sh $(ARGS)

.PHONY: bench-train
bench-train: ## Measure the training next to LightGBM alone
	@tools/bench_train.sh $(ARGS)

##@ Change it

.PHONY: test
test: ## Lint, run unit and integration tests, one run of each mode
	@tools/test.sh $(ARGS)

.PHONY: test-all
test-all: ## make test, then the slow tests, under both ansible-cores
	@tools/test.sh --all $(ARGS)

.PHONY: policies
policies: setup ## Take away each statement of files/iam, show what fails
	@$(in_venv) .venv/bin/python -m tools.policies $(ARGS)

.PHONY: awx-check
awx-check: setup ## Apply awx/ twice to a stand-in for AWX, run its schedules
	@$(in_venv) python -m tools.awx_check $(ARGS)

.PHONY: lint
lint: ## ansible-lint, yamllint, ruff, mypy, ShellCheck
	@tools/lint.sh

.PHONY: docs
docs: setup ## Build the documentation as a site, check its links
	@rm -rf .cache/site
	@.venv/bin/sphinx-build -q -W -E -c docs -d .cache/doctrees $(ARGS) . .cache/site
	@echo .cache/site/index.html

.PHONY: docs-roles
docs-roles: setup ## Write the inputs into each role's README
	@$(foreach role,$(wildcard roles/*/),.venv/bin/aar-doc --output-template tools/role_inputs.md.j2 $(role) markdown &&) true

.PHONY: changelog
changelog: setup ## Show what the fragments in changelog.d/ add up to
	@.venv/bin/towncrier build --draft $(ARGS)

.PHONY: lock
lock: setup ## Regenerate all lock files
	@tools/lock.sh $(ARGS)

.PHONY: clean
clean: stop ## Stop; remove environments, state, caches; keep runs/
	@tools/clean.sh

##@ Look it up

.PHONY: help
help: ## Show this manual
	@tools/help.sh
