# Everything is in bootstrap.py, which does the same where there is no make:
#   make test                   is   python3 bootstrap.py test
#   make test ARGS="-k oauth"   is   python3 bootstrap.py test -k oauth
PYTHON ?= python3

.PHONY: help demo install test test-long coverage check bench bench-million docs lock

help:  ## print what there is to make
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

demo:  ## start the server with demo data; the first start installs
install:  ## install everything into .venv, development tools too
test:  ## run the tests
test-long:  ## run the crash and soak tests
coverage:  ## run the tests, and show what they cover
check:  ## check formatting, style, types and imports
bench:  ## measure, and compare with the rivals
bench-million:  ## measure with 1,000,000 Connectors
docs:  ## build the documentation into site/
lock:  ## write the lock files anew; ARGS=--upgrade takes newer versions

demo install test test-long coverage check bench bench-million docs lock:
	@$(PYTHON) bootstrap.py $@ $(ARGS)
