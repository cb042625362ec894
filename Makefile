# Every verb says what it does: make help
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED := 0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COUNT := $(shell git rev-list --count HEAD 2>/dev/null || echo 0)
# The time of everything in a package, so that it is the same when built again.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DIST    ?= dist
TARGETS ?= amd64: arm64: arm:6 arm:7
LDFLAGS := -s -w -X main.version=$(VERSION)
GO      := go
CONFIG  ?= bin/dev.toml
CLOUD   ?=
KEY     ?=
CERT    ?=
FRESH   ?=
TIME    ?= 30s
SCENARIO ?= all
# Bytes; the arm64 binary must stay below. What takes much and need not: generic
# code for many types (see internal/inorder).
MAX_BINARY := 16000000

.PHONY: help
help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: build
build: ## build bin/tidegate for this machine
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/tidegate ./cmd/tidegate

.PHONY: setup
setup: ## install what the tests need (apt, npm, Go modules)
	build/setup.sh

.PHONY: test
test: setup lint cross ## everything that must hold: lint, all tests, cross-builds, size
	@failed=0; \
	build/test.sh . -timeout 15m || failed=1; \
	build/test.sh build/lab -timeout 25m || failed=1; \
	TIDEGATE_FAILED_PAGES=$(CURDIR)/$(DIST) build/test.sh build/browser -p 1 -timeout 15m || failed=1; \
	exit $$failed

.PHONY: kernel-test
kernel-test: setup ## sensors and lines on real kernel buses: boots an arm64 kernel in QEMU
	$(GO) test -count=1 -v -timeout 15m ./build/kernel/...

.PHONY: image-test
image-test: setup ## what takes too long for every day: 200 power cuts, updates with return, the image's first boot and life
	$(GO) test -count=1 -v -tags image -timeout 2h ./build/power -rounds 200
	$(GO) test -count=1 -v -tags image -timeout 6h ./build/bundle
	$(GO) test -count=1 -v -tags image -timeout 1h ./build/image
	$(GO) test -count=1 -v -tags image -timeout 6h ./build/image/trial

.PHONY: race
race: ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./...

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l cmd edge uplink hw internal build); \
	if [[ -n $$unformatted ]]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags image ./build/...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags image ./build/...
	cd build/browser && $(GO) vet ./... && "$$(cd ../.. && $(GO) tool -n staticcheck)" ./...
	cd build/lab && $(GO) vet -tags soak ./... && "$$(cd ../.. && $(GO) tool -n staticcheck)" -tags soak ./...

.PHONY: fuzz
fuzz: ## fuzz every decoder for TIME (30s)
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(TIME) -fuzzminimizetime 10x $$p; \
		done; \
	done

.PHONY: cross
cross: ## build for linux/amd64, arm64, arm 6 and 7 into dist, and hold arm64 to its size
	@for t in $(TARGETS); do \
		out=$(DIST)/tidegate-linux-$${t%:*}$${t#*:}; echo "$$out"; \
		GOOS=linux GOARCH=$${t%:*} GOARM=$${t#*:} $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $$out ./cmd/tidegate; \
	done
	@size=$$(stat -c %s $(DIST)/tidegate-linux-arm64); echo "arm64: $$size bytes (at most $(MAX_BINARY))"; \
	((size < $(MAX_BINARY)))

.PHONY: deb
deb: cross ## Debian packages for amd64, arm64 and armhf in dist, the same bytes every time
	@$(GO) run ./build/deb -dist $(DIST) -version '$(VERSION)' -count $(COUNT) -epoch $(SOURCE_DATE_EPOCH)

.PHONY: image
image: deb ## the SD card's image: dist/tidegate.img, .img.xz and the list for Raspberry Pi Imager as root or through fakeroot; CERT=FILE: whose updates it takes; FRESH=yes: Debian's newest packages
	$(GO) run ./build/image/make -o $(DIST)/tidegate.img -deb $$(ls -t $(DIST)/tidegate_*_arm64.deb | head -1) -keyring "$$($(GO) run ./build/bundle/make -cert -certificate '$(CERT)')" $(if $(FRESH),-fresh)
	$(MAKE) --no-print-directory imager-list IMAGE=$(DIST)/tidegate.img.xz

.PHONY: bundle
bundle: ## the image as a signed update, dist/tidegate.raucb; KEY=FILE CERT=FILE for a release
	$(GO) run ./build/bundle/make -image $(DIST)/tidegate.img -version '$(VERSION)' -key '$(KEY)' -certificate '$(CERT)' -o $(DIST)/tidegate.raucb

.PHONY: flash
flash: build ## write a card: DEV=/dev/sdX; IMAGE=FILE; FILES=FOLDER for its FAT partition; YES=DEV: do not ask; EVEN=DEV: though it is no card
	$(GO) build -o bin/flash ./build/flash
	@sudo=; [[ ! -b "$(DEV)" || -w "$(DEV)" ]] || sudo=sudo; \
	$$sudo bin/flash -image $(or $(IMAGE),$(DIST)/tidegate.img.xz) $(addprefix -files ,$(FILES)) $(addprefix -yes ,$(YES)) $(addprefix -even ,$(EVEN)) $(DEV)

.PHONY: imager-list
imager-list: ## the list from which Raspberry Pi Imager writes the image, dist/tidegate.rpi-imager-manifest; URL=https://...: where it is
	$(GO) run ./build/flash list -image $(or $(IMAGE),$(DIST)/tidegate.img.xz) -version '$(VERSION)' $(addprefix -url ,$(URL)) -o $(DIST)/tidegate.rpi-imager-manifest

.PHONY: run
run: build ## run the gateway here with CONFIG (bin/dev.toml, made from the sample)
	@mkdir -p bin/data
	@[[ -e $(CONFIG) ]] || ./bin/tidegate sample | sed -E \
		-e "s|^data-dir = .*|data-dir = \"$(CURDIR)/bin/data\"|" -e 's|^bind = .*|bind = "127.0.0.1:1883"|' \
		-e 's|^anonymous = .*|anonymous = true|' > $(CONFIG)
	./bin/tidegate run $(CONFIG)

.PHONY: demo
demo: ## the whole story in a minute; CLOUD=rabbitmq for a real cluster
	cd build/lab && $(GO) run ./cmd/demo $(addprefix -cloud ,$(CLOUD))

.PHONY: bench
bench: build ## compare with Mosquitto, in turns; BENCH=-short for some minutes, BENCH=-help for more
	$(GO) run ./build/bench $(BENCH)

.PHONY: lab
lab: ## break the world in every way: SCENARIO=list|NAME,...; CLOUD=rabbitmq,mosquitto,standin; LAB=-help for more
	cd build/lab && $(GO) run ./cmd/lab -scenario $(SCENARIO) $(addprefix -cloud ,$(CLOUD)) $(LAB)

.PHONY: first-view
first-view: ## how soon the page is there with a slow processor and an empty cache
	cd build/browser && $(GO) test -count=1 -v -timeout 10m ./console -run '^TestFirstView$$'

.PHONY: screenshots
screenshots: ## pictures of every page in dist/screenshots, of a house that has run for some minutes
	cd build/browser && $(GO) test -count=1 -timeout 20m ./console -run '^TestEveryPage$$' -lived 5m -screenshots $(abspath $(DIST))/screenshots

.PHONY: placement
placement: ## simulate 10,000 gateways and write uplink/PLACEMENT.md with its plots
	$(GO) test ./uplink -run PlacementDocument -update

.PHONY: soak
soak: ## half an hour of devices that come and go; kills and power cuts, twenty times as many rounds; hours
	$(GO) test -count=1 -v -timeout 1h ./edge -run '^TestSoak$$' -soak 30m
	cd build/lab && $(GO) test -tags soak -timeout 12h ./promises ./powerfs -soak

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
