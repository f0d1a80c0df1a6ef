# The ways in. Anything longer than a line or two lives in scripts/.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# PYTHON=<interpreter> for setup; ARGS for the command behind a target; TESTS=<files> for test.
PYTHON ?=
ARGS ?=
TESTS ?=
# For soak and soak-training: how many runs (50, 20), and what decides their ends.
N ?=
SEED ?= 1
export PYTHON TESTS
# A run is a hundred processes that import boto3 or Ansible: to compile those anew each time costs a fifth of it.
unexport PYTHONDONTWRITEBYTECODE

# As `. .venv/bin/activate` does it, and with this folder's ansible.cfg whatever the environment says.
in_venv := PATH="$(CURDIR)/.venv/bin:$$PATH" ANSIBLE_CONFIG="$(CURDIR)/ansible.cfg"

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Make .venv from the lock file (PYTHON=… picks the interpreter)
	@scripts/setup.sh controller

.PHONY: train
train: setup ## Rent, check, train, promote, terminate, report (ARGS="-e training_mode=smoke")
	@$(in_venv) ansible-playbook train.yml $(ARGS)

.PHONY: preflight
preflight: setup ## The same up to the training; writes nothing
	@$(in_venv) ansible-playbook train.yml -e preflight_only=true $(ARGS)

.PHONY: test
test: ## Set up everything, lint, run all tests (TESTS=tests/repository ARGS="-k help")
	@scripts/test.sh $(ARGS)

.PHONY: drill
drill: ## Break runs in every known way, show what came of each (ARGS="reclaim-* --jobs 2")
	@scripts/drill.sh drills $(ARGS)

.PHONY: soak
soak: ## Kill N preflights in a row at moments that chance decides (N=50 SEED=1)
	@scripts/drill.sh drills.soak --runs $(or $(N),50) --seed $(SEED) $(ARGS)

.PHONY: soak-training
soak-training: ## Kill N trainings at moments that chance decides, and resume them (N=20 SEED=1)
	@scripts/drill.sh drills.training_kills --runs $(or $(N),20) --seed $(SEED) $(ARGS)

.PHONY: bench-preflight
bench-preflight: ## Measure the preflight beside the origin's way (ARGS="--sizes 500")
	@scripts/bench_preflight.sh $(ARGS)

.PHONY: bench-train
bench-train: ## Measure the training beside a plain one and LightGBM alone (ARGS="--sizes 500x2520")
	@scripts/bench_train.sh $(ARGS)

.PHONY: lint
lint: ## ansible-lint, yamllint, ruff, mypy, ShellCheck
	@scripts/lint.sh

.PHONY: lock
lock: setup ## Regenerate all lock files (ARGS=--upgrade for newer versions)
	@scripts/lock.sh $(ARGS)

.PHONY: docs-roles
docs-roles: setup ## Write inputs and examples into each role's README
	@.venv/bin/python scripts/role_docs.py

.PHONY: stop
stop: ## Stop the embedded AWS
	@scripts/stop.sh

.PHONY: clean
clean: stop ## Stop, then remove environments, state and caches (runs/ is kept)
	@scripts/clean.sh
