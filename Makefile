# Vaani: all that a checkout needs, from nothing but make and Python 3.11 or later.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# The first of these that is recent enough; `make setup PYTHON=/path/to/python` names another.
PYTHON = $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done)
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help setup serve test parts clean

help:
	@echo "make setup   create $(VENV) and install Vaani into it"
	@echo "make serve   run the server; options go in ARGS: make serve ARGS='--port 9000'"
	@echo "make test    install what the tests need, check and test; ARGS goes to pytest"
	@echo "make clean   remove $(VENV), caches and build output"

setup: $(VENV)/installed

serve: setup
	@$(BIN)/python run.py serve $(ARGS)

test: $(VENV)/installed-test parts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(ARGS)

# The stamps make the second run start at once, and a changed pyproject.toml install again.
$(VENV)/installed: pyproject.toml | $(BIN)/pip
	@echo "Installing Vaani into $(VENV); the first time this takes a minute or two."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/pip
	@echo "Installing Vaani and its test tools into $(VENV); the first time this takes minutes."
	@$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/installed

# Without its package python3-venv, Debian's Python makes an environment that lacks pip: the next
# try must begin again, hence --clear and pip, the last thing to appear, as the target.
$(BIN)/pip:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Vaani needs Python 3.11 or later; found: $$(python3 --version 2>&1)." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi
	@if ! $(PYTHON) -c '$(RECENT)'; then \
		echo "Vaani needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		exit 1; \
	fi
	@if ! $(PYTHON) -m venv --clear $(VENV); then \
		echo "$(PYTHON) cannot create a virtual environment." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	fi

# The real browsers, proxies, networks and sound of tests/browser and tests/network; everything else
# does without.
PARTS := chromium firefox-esr nginx turnserver pulseaudio pacat WebKitWebDriver Xvfb ip nft openssl
PACKAGES := chromium firefox-esr nginx coturn pulseaudio pulseaudio-utils webkit2gtk-driver \
	gstreamer1.0-pulseaudio gstreamer1.0-plugins-good gstreamer1.0-plugins-bad xvfb iproute2 \
	nftables openssl

parts:
	@missing=; for part in $(PARTS); do \
		PATH=$$PATH:/usr/sbin:/sbin command -v $$part >/dev/null || missing="$$missing $$part"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing what the tests with real parts need; the first time this takes minutes."; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && \
		apt-get install -qq --no-install-recommends $(PACKAGES) >/dev/null && exit 0; \
	fi; \
	echo "Tests that need$$missing are skipped; on Debian: apt install $(PACKAGES)" >&2

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
