# `just` lists the recipes; `just check` is what CI runs.

_default:
    @just --list

# every gate, as CI runs them
check:
    .ci/run

# the tests alone, with what they need installed first
test *args:
    .ci/test {{args}}

# what a pull request may forget
fix:
    cargo fmt
    cargo clippy --fix --allow-dirty --allow-staged --all-targets

# completions, man pages and the schemas from the program itself
generate:
    cargo run --quiet --bin agentctl -- generate --man man --completions completions
    cargo run --quiet --bin agentctl -- config schema > dist/agentd.schema.json
    cargo run --quiet --bin agentctl -- report schema > dist/report.schema.json

# our figures beside our peers'
peers:
    cargo build --release --locked
    benches/peers.sh

# a private fleet, shown and judged
demo:
    cargo build --release --locked
    ./target/release/agentctl quickstart
