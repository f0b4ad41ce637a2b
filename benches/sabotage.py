#!/usr/bin/env python3
"""Breaks one control in the source at a time, builds, and asks `agentctl validate` of a real fleet what it says.

    benches/sabotage.py [--only TEXT] [--first N] [--target DIR] [--jobs N] [--json FILE] | --list | --verify
    benches/sabotage.py --mutants N [--seed S] [the same]

Works in a copy of the tracked files below TMPDIR; the checkout itself is never touched. A debug build and a run of the
`bookedbarber` fleet take about a minute a breakage on two busy cores. --only takes a regular expression over file, name
and expected ids; --verify only looks whether each text to replace is in the source exactly once. --target keeps the
build between runs. --mutants takes N of what `cargo mutants --list` makes of the files that implement controls, drawn by
--seed, instead of the table: for those nobody says which check must object, so one that makes the fleet not ready is caught,
and one that only changes an outcome is noticed. Exit status: 0 if every breakage was caught by name, 1 if one was not, 2 if the sound source is not
sound or a text to replace is gone.
"""
import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from fleet import Fleet, outcomes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What is broken, file below src/, exact text, what stands there instead, and the checks of which one must object. An id
# without digits stands for its whole category.
TABLE = [
    # Database
    ("a failed write is kept", "store/writer.rs",
     "&& regime.undo {", "&& regime.undo && job_is_never_undone() {", ["DB-001"]),
    ("commits are not synced", "store/open.rs",
     "        synchronous: 2,\n", "        synchronous: 1,\n", ["DB-006"]),
    ("foreign keys are off", "store/open.rs",
     "        foreign_keys: true,\n", "        foreign_keys: false,\n", ["DB-002", "DB-006"]),
    ("readers may write", "store/open.rs",
     "        query_only: true,\n", "        query_only: false,\n", ["DB-006"]),
    ("a constraint on runs is gone", "store/migrations/0001_first.sql",
     "CHECK (state IN ('running', 'finished', 'interrupted')),", ",", ["DB-002"]),
    ("an event needs no text", "store/migrations/0001_first.sql",
     "    text     TEXT    NOT NULL\n", "    text     TEXT\n", ["DB-002"]),
    ("a full pool waits a hundred times longer", "store/readers.rs",
     "match timeout(self.patience, self.places", "match timeout(self.patience * 100, self.places", ["DB-004"]),
    ("a reader that failed is lost", "store/open.rs",
     "        give_back: true,\n", "        give_back: false,\n", ["DB-004"]),
    ("a reader with an open transaction comes back", "store/readers.rs",
     "!connection.is_autocommit()\n    }", "let _ = connection;\n        false\n    }", ["DB-004"]),
    ("a lost batch is told as kept", "store/writer.rs",
     "                    job.lose(&error);", "                    let _ = (&job, &error);", ["DB-001"]),
    ("writes are acknowledged and rolled back", "store/writer.rs",
     'step(connection, "COMMIT")', 'step(connection, "ROLLBACK")', ["DB-001", "DB-003"]),
    # Agents
    ("a crash loop never latches", "agents/restart.rs",
     "if self.ends.len() >= settings.latch.failures.max(1) as usize {",
     "if self.ends.len() >= settings.latch.failures.max(1) as usize * 1000 {", ["AO-004"]),
    ("policy `never` restarts", "agents/restart.rs",
     "if settings.policy == RestartMode::Never => return", "if settings.policy == RestartMode::Always => return",
     ["AO-003", "AO-004"]),
    ("what ended well is started again", "agents/restart.rs",
     "Outcome::Clean if settings.policy != RestartMode::Always",
     "Outcome::Clean if settings.policy == RestartMode::Never", ["AO-003", "AO-004"]),
    ("a restart comes an hour late", "agents/machine.rs",
     "                Action::Sleep(delay)", "                Action::Sleep(delay + Duration::from_secs(3600))",
     ["AO-003"]),
    ("restarts do not back off", "resilience/backoff.rs",
     "self.first.saturating_mul(factor).min(self.longest)",
     "self.first.saturating_mul(factor).min(self.longest) / 1000", ["AO-003"]),
    ("a stop never kills", "agents/child/stop.rs",
     "report.killed = kill_all(group, main.as_deref_mut()).await;", "report.killed = 0;", ["AO-005"]),
    ("KILL is TERM", "agents/child/stop.rs",
     "        signal(process, Signal::KILL);\n    }\n    seen",
     "        signal(process, Signal::TERM);\n    }\n    seen", ["AO-005"]),
    ("logs are not rotated", "agents/log_file.rs",
     "if size > 0 && size + text.len() as u64 > self.max_size {",
     "if size > 0 && size + text.len() as u64 > self.max_size * 1000 {", ["AO-006", "AO"]),
    ("rotated logs are all kept", "agents/log_file.rs",
     "for number in (1..self.keep).rev() {", "for number in (1..self.keep + 500).rev() {", ["AO-006", "AO"]),
    ("a line of output may be a gigabyte", "agents/output.rs",
     "const LONGEST_LINE: usize = 16 << 10;", "const LONGEST_LINE: usize = 1 << 30;", ["AO-006"]),
    ("what an agent needs is not waited for", "agents/actor/starting.rs",
     "let needs = self.plan.settings.depends_on.clone();", "let needs: Vec<String> = Vec::new();", ["AO-007"]),
    # Health
    ("one failure decides", "health/judge.rs",
     "(false, _) => thresholds.failures.max(1),", "(false, _) => 1,", ["HM-001"]),
    ("one success decides", "health/judge.rs",
     "(true, ProbeState::Failing) => thresholds.successes.max(1),", "(true, ProbeState::Failing) => 1,", ["HM-009"]),
    ("deadlines do not cut", "health/look.rs",
     "timeout(deadline, settled(probe, target))", "timeout(deadline * 100, settled(probe, target))", ["HM-002", "HM-015"]),
    ("one look at a time", "health/monitor.rs",
     "const MOST_LOOKS: usize = 256;", "const MOST_LOOKS: usize = 1;", ["HM-002"]),
    ("bodies are not judged", "health/expect.rs",
     'seen.map_err(|seen| format!("{path} is {seen}, want {want}"))?;', "let _ = seen;", ["HM-003", "HM-004"]),
    ("a status of 500 is fine", "health/expect.rs",
     "(200..=299).contains(&status)", "(200..=599).contains(&status)", ["HM-001", "HM-007"]),
    ("nobody asks whose listener answers", "health/identity.rs",
     "asked.unwrap_or(target.pid.is_some() && !elsewhere)", "asked.unwrap_or(elsewhere && !elsewhere)",
     ["HM-004"]),
    ("what is blocked is asked", "health/subject.rs",
     "if !self.up || self.blocked_by.is_some() {", "if !self.up {", ["HM-008"]),
    ("an outage below blocks nothing", "health/board.rs",
     "let by = by.filter(|_| subject.up);", "let by = by.filter(|_| !subject.up);", ["HM-008"]),
    ("readiness does not wait for startup", "health/subject.rs",
     "ProbeRole::Readiness => self.started(),", "ProbeRole::Readiness => true,", ["HM-010"]),
    ("a failing liveness probe restarts nothing", "health/subject.rs",
     "return Some(Observation::Unhealthy { reason: slot.reason() });",
     "return Some(Observation::NotReady { reason: slot.reason() });", ["HM-011"]),
    ("an unhealthy agent is left running", "agents/actor.rs",
     "AgentState::Unhealthy if self.plan.work == Work::External => self.attend().await,",
     "AgentState::Unhealthy => self.attend().await,", ["HM-011"]),
    ("silence is borne for ever", "health/probe/heartbeat.rs",
     "if silence <= self.within.0 {", "if silence <= self.within.0 * 100_000 {", ["HM-012"]),
    ("looks come in step", "health/schedule.rs",
     "every.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))", "every.mul_f64(1.0 + 0.0 * chance)", ["HM-013"]),
    ("a closed port is open", "health/probe/tcp.rs",
     "unwrap_or(&target.host), port).await?;", "unwrap_or(&target.host), port).await.ok();", ["HM-014"]),
    ("children of a check script live on", "health/probe/exec.rs",
     "        if self.over {\n            return;", "        if self.over || !self.mark.is_empty() {\n            return;",
     ["HM-015"]),
    # Configuration
    ("unknown keys are taken", "config/check.rs",
     "        let problem = self.problem(format!(\"unknown key `{}`{inside}\", shown(\"\", name)), place);",
     "        if !name.is_empty() {\n            return;\n        }\n"
     "        let problem = self.problem(format!(\"unknown key `{}`{inside}\", shown(\"\", name)), place);", ["CF-002"]),
    ("duplicate keys are taken", "config/load.rs",
     'self.problems.push(if duplicate { problem.label("it was set above") } else { problem });',
     "if !duplicate {\n                self.problems.push(problem);\n            }", ["CF-003"]),
    ("a key in the manifest is taken", "config/verify.rs",
     "} else if !secret::is_reference(text) && is_inline(key, text, expected) {",
     "} else if !secret::is_reference(text) && is_inline(key, text, expected) && text.is_empty() {", ["CF-004"]),
    ("a refused key is repeated in the refusal", "config/suspect.rs",
     "    while let Some(found) = find(&line[at..]) {",
     "    if !line.is_empty() {\n        return line.to_owned();\n    }\n    while let Some(found) = find(&line[at..]) {",
     ["CF-004"]),
    ("a reference to nothing is an empty secret", "config/secret.rs",
     'if found.is_empty() { Err(cannot(text, "it is empty")) } else {',
     'if found.len() > 1 << 30 { Err(cannot(text, "it is empty")) } else {', ["CF-005"]),
    ("an unset variable resolves", "config/secret.rs",
     "env::VarError::NotPresent => cannot(text, \"the variable is not set\"),\n"
     "            env::VarError::NotUnicode(_) => cannot(text, \"it is not UTF-8\"),\n        })?",
     "env::VarError::NotPresent => cannot(text, \"the variable is not set\"),\n"
     "            env::VarError::NotUnicode(_) => cannot(text, \"it is not UTF-8\"),\n"
     "        }).unwrap_or_else(|_| \"x\".into())", ["CF-005"]),
    # Security
    ("every role may everything", "domain/access.rs",
     "self.permissions().contains(&permission)", "self.permissions().contains(&permission) || self == self", ["SE-004"]),
    ("the gate admits everybody", "daemon/route.rs",
     "if caller.role.may(self.needs) {", "if caller.role.may(self.needs) || !self.path.is_empty() {", ["SE-004"]),
    ("a viewer may stop agents", "domain/access.rs",
     "Self::Viewer => &[P::FleetRead, P::SessionOwn],", "Self::Viewer => &[P::FleetRead, P::SessionOwn, P::AgentControl],",
     ["SE-004"]),
    ("children may gain privileges", "agents/child/exec.rs",
     "check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64) } == 0)?;", "", ["SE-005"]),
    ("the daemon dumps core", "daemon/core_dumps.rs",
     "let none = Rlimit { current: Some(0), maximum: Some(0) };",
     "let none = Rlimit { current: None, maximum: None };", ["SE-005", "SE-011"]),
    ("children inherit descriptors", "agents/child/exec.rs",
     "    close_from_three_on_exec();\n    Ok(())",
     "    unsafe { libc::dup2(2, 9) };\n    Ok(())", ["SE-005"]),
    ("limits of memory are not set", "agents/child/exec.rs",
     "limit(libc::RLIMIT_DATA, to.data.map(both))?;", "", ["SE", "AO"]),
    ("the daemon's environment reaches every child", "agents/start.rs",
     "    let mut environment: Vec<(OsString, OsString)> = vec![\n        (\"PATH\".into()",
     "    let mut environment: Vec<(OsString, OsString)> = env::vars_os().collect();\n"
     "    environment.extend(vec![\n        (\"PATH\".into()", ["SE-002"]),
    ("the socket's directory is open", "daemon/listen/unix.rs",
     "Access::Operators { group: None } => 0o700,", "Access::Operators { group: None } => 0o755,", ["SE-001"]),
    ("the socket is open to everybody", "daemon/listen/unix.rs",
     "                0o660\n", "                0o666\n", ["SE-001"]),
    # Authentication
    ("a key's secret is not looked at", "auth/keyring/recognise.rs",
     "let held = ring.keys.get(id);", "let held = ring.keys.get(id);\n        let hash = held.map_or(hash, |held| held.hash);",
     ["AU-001"]),
    ("a key's checksum is not looked at", "auth/token.rs",
     "if checksum(random) == *check", "if checksum(random) != [0; 6] || check.is_empty()", ["AU-001"]),
    ("what changes about keys is not seen", "auth/keyring/ring.rs",
     "inner.changes.send_modify(|version| *version += 1);", "let _ = &inner;", ["AU-001", "AU-002", "AU-003"]),
    ("keys never expire", "domain/credential.rs",
     "let over = self.expires_at.is_some_and(|end| end <= now);",
     "let over = self.expires_at.is_some_and(|end| end < end.min(now));", ["AU-002"]),
    ("sessions never idle", "domain/credential.rs",
     "} else if now.duration_since(self.last_used_at) >= idle {",
     "} else if now.duration_since(self.last_used_at) > SignedDuration::MAX.max(idle) {", ["AU-003"]),
    ("sessions are not bounded", "store/sessions.rs",
     "most.saturating_sub(1)", "most.saturating_add(1000)", ["AU-003"]),
    ("a key is kept in clear", "auth/keyring/keys.rs",
     "application_role: request.application_role,",
     "application_role: Some(secrecy::ExposeSecret::expose_secret(&token).to_owned()),", ["AU-004"]),
    ("an agent's key has any role", "auth/keyring/keys.rs",
     "if request.principal.kind == PrincipalKind::Agent && role != Role::Agent {",
     "if request.principal.kind == PrincipalKind::User && role != Role::Agent {", ["AU-005"]),
    ("support may refund payments", "domain/application.rs",
     "                    P::AccessLogs,\n", "                    P::AccessLogs,\n                    P::RefundPayments,\n",
     ["AU-010"]),
    ("a role of the file replaces one that ships", "auth/roles.rs",
     "custom.chain(shipped).map(", "shipped.chain(custom).map(", ["AU-010"]),
    ("a decision forgets whose data it is", "auth/roles.rs",
     "if !grant.clients.include(client) =>", "if client.is_empty() && !grant.clients.include(client) =>", ["AU-010"]),
    ("no client named is every client", "auth/roles.rs",
     "if permission.is_about_clients() && grant.clients != Clients::All =>",
     "if permission.is_about_clients() && grant.role.is_none() =>", ["AU-010"]),
    ("a denial is recorded as done", "commands/auth/can.rs",
     "AuditOutcome::Done } else { AuditOutcome::Refused };", "AuditOutcome::Done } else { AuditOutcome::Done };",
     ["AU-010"]),
    ("viewers may ask what others may do", "domain/access.rs",
     "Self::Viewer => &[P::FleetRead, P::SessionOwn],", "Self::Viewer => &[P::FleetRead, P::SessionOwn, P::AccessAsk],",
     ["AU-010", "AU-011", "SE-004"]),
    ("groups of [access] do not count", "auth/policy.rs",
     "self.groups.get(&identity.gid).copied();", "self.groups.get(&identity.uid).copied();", ["AU-011"]),
    ("strangers look around", "auth/policy.rs",
     ".max_by_key(|role| role.permissions().len())",
     ".max_by_key(|role| role.permissions().len()).or(Some(Role::Viewer))", ["AU-011"]),
    ("a row is found whosever it is", "store/clients.rs",
     "self.clients.include(&whose).then(", "(!whose.is_empty()).then(", ["AU-012"]),
    ("lists forget whose rows they are", "store/clients.rs",
     "client COLLATE BINARY IN (SELECT value FROM json_each(:clients))",
     "(1 OR client IN (SELECT value FROM json_each(:clients)))", ["AU-012"]),
    ("who has no clients sees all", "store/clients.rs",
     "Clients::None => \"0\",", "Clients::None => \"1\",", ["AU-012"]),
    ("refusals leave no row", "daemon/gate.rs",
     "    app.trail.refused(Act::new(caller, route.action, route.object(raw)), fault).await;",
     "    let _ = (app, route, caller, raw, fault);", ["AU-020"]),
    ("no intent is written", "daemon/gate.rs", "        app.trail.intend(act.clone()).await?;\n", "", ["AU-021"]),
    ("no outcome is written", "daemon/gate.rs",
     "        (Ok(_), Audited::Around) => app.trail.ended(act, Ok(())).await,", "        (Ok(_), Audited::Around) => {}",
     ["AU-021"]),
    ("half a row is not in its hash", "store/audit/chain.rs",
     "        for text in &self.texts {", "        for text in &self.texts[..3] {", ["AU-022"]),
    ("hashes are not compared", "store/audit/verify.rs",
     "            if hashes.iter().any(|hash| !row.has(hash)) {", "            if hashes.is_empty() {", ["AU-022"]),
    ("a cut trail is whole", "store/audit/verify.rs",
     "    if verdict.breaks.is_empty() && last < reach {", "    if verdict.breaks.is_empty() && reach == u64::MAX {",
     ["AU-022"]),
    ("effects leave no row", "store/audit.rs",
     "            if let Some(object) = object {", "            if let Some(object) = object.filter(|_| false) {", ["AU-020"]),
    ("the trail is never anchored", "store/open.rs", "        anchor_rows: 100,", "        anchor_rows: 0,", ["AU-022"]),
    ("blocks of a quota do not add up", "store/quotas.rs",
     "DO UPDATE SET reserved = ?3", "DO NOTHING", ["AU-030", "AU-031"]),
    ("waits never grow", "auth/meter/patience.rs",
     "checked_shl(doublings)", "checked_shl(doublings / 64)", ["AU-033"]),
    ("a restart begins the hour anew", "store/quotas.rs",
     "                .optional()?\n                .unwrap_or(0);",
     "                .optional()?\n                .map_or(0, |b: u64| b.min(1));", ["AU-031"]),
    ("all share one account", "auth/meter.rs",
     "if let Some(account) = accounts.get(principal) {",
     "if let Some(account) = accounts.get(principal).or_else(|| accounts.values().next()) {", ["AU-030"]),
    ("no rate is kept", "resilience/limiter.rs",
     "(next - now <= self.depth).then_some(next)", "(next - now <= self.depth || next > now).then_some(next)", ["AU-032"]),
    ("penalties hit the wrong ones", "daemon/gate.rs",
     "if bearer.is_some()\n        && let Err(refusal)", "if bearer.is_none()\n        && let Err(refusal)", ["AU-033"]),
    ("nothing counts against a quota", "auth/meter.rs",
     "        _ => Counts::All,\n", "        _ => Counts::Nothing,\n", ["AU-030"]),
    ("a block serves one", "auth/meter/account.rs",
     "            count.ready += reserved.granted;", "            count.ready += reserved.granted.min(1);", ["AU-030"]),
    ("what is left is told wrong", "daemon/server.rs",
     "HeaderValue::from(remaining));", "HeaderValue::from(remaining.max(1)));", ["AU-030"]),
    ("nothing waits for an approval", "daemon/gate.rs",
     "if !app.approvals.needed(route.action) {", "if !app.approvals.needed(route.action) || !route.action.is_empty() {",
     ["AU-040", "AU-041", "AU-042", "AU-043"]),
    ("an agent decides on approvals", "domain/access.rs",
     "Self::Agent => &[P::AgentReport],", "Self::Agent => &[P::AgentReport, P::ApprovalGive],", ["AU-040", "SE-004"]),
    ("an approval is of whatever is asked", "auth/approvals.rs",
     "action, object, &request.to_string()] {", "action, object, &request.to_string()[..0]] {", ["AU-041"]),
    ("an approval lasts for ever", "store/approvals.rs",
     "AND state = 'given' AND expires_at > ?4", "AND state = 'given' AND ?4 > 0", ["AU-041"]),
    ("an approval is used again and again", "store/approvals.rs",
     "SET state = 'used', used_at = ?4", "SET reason = ''", ["AU-041"]),
    ("one's own yes counts", "auth/approvals.rs",
     "ApprovedBy::Another if own =>", "ApprovedBy::Another if own && approval.id == 0 =>", ["AU-042"]),
    ("goodwill is enough for an approval", "auth/approvals.rs",
     "Separation::OwnCgroup | Separation::None => Err(",
     "Separation::None => Ok(()),\n        Separation::OwnCgroup => Err(", ["AU-043"]),
    # Errors
    ("one attempt too many", "resilience/policy.rs",
     "if made < attempts => after,", "if made <= attempts => after,", ["EH-001"]),
    ("Retry-After is not read", "health/probe/http.rs",
     "self.headers.get(RETRY_AFTER)?", "self.headers.get(RETRY_AFTER).filter(|_| false)?", ["EH-003"]),
    ("a deadline is not kept", "resilience/policy.rs",
     "callers.sooner(terms);", "callers.sooner(terms * 100);", ["EH-004"]),
    ("retries have no budget", "resilience/budget.rs",
     "let allowed = self.allows(calls, retries);", "let allowed = self.allows(calls, retries) || calls > 0;", ["EH-005"]),
    ("a breaker never opens", "resilience/machine.rs",
     "*streak >= self.rules.failures;", "*streak >= self.rules.failures * 1000;", ["EH-006"]),
    ("a caller's mistake counts", "resilience/policy.rs",
     "if hurried || trouble.failing() == Failing::CallersMistake {", "if hurried {", ["EH-007"]),
    ("breakers are forgotten", "health/breakers.rs",
     "policies.remember(record.name, kept);", "drop(kept);", ["EH-008"]),
    ("a look passes an open breaker", "health/look.rs",
     "Some(policy) => guarded(policy, deadline, look).await,", "Some(_) => look.await,", ["EH-012"]),
    ("refusals are not recorded", "daemon/server.rs",
     "self.inner.app.errors.record(failure);\n                refuse", "let _ = failure;\n                refuse",
     ["EH-020"]),
    ("known secrets are shown", "agents/start.rs",
     "shared.errors.redactor().know(&secret);", "", ["EH-021"]),
    ("crashes are not recorded", "agents/actor/stopping.rs",
     "self.crashed(class, &end.reason);", "let _ = class;", ["EH-021"]),
    ("counts are lost in memory", "errors/pending.rs",
     "known.count += new.count;", "known.count += 0;", ["EH-022", "EH-024"]),
    ("nothing regresses", "store/errors/keep.rs",
     "tally.last_at > at)", "tally.last_at < at)", ["EH-023"]),
    ("groups are not bounded", "store/errors/keep.rs",
     "Ok(kept >= u64::from(groups))", "Ok(kept >= u64::from(groups) * 1000)", ["EH-024"]),
    # What judges all others
    ("a declared check never looks", "health/look.rs",
     "settled(&*self.probe, target).await.map(short)", "Ok::<_, Miss>(String::new()).map(short)", ["CF-018"]),
    ("a changed backup is unpacked", "backups/unpack.rs",
     "Ok(seen) if seen == (file.bytes, file.sha256) => {}", "Ok(_) => {}", ["DB-014"]),
    ("a missing file of a backup is passed over", "backups/unpack.rs",
     'NotFound => return Err(spoilt("is missing")),', "NotFound => {}", ["DB-014"]),
    ("a trigger never fires", "deploy/triggers/machine.rs",
     "None if lasted => (TriggerState::Pending, Deed::Fire),",
     "None if lasted => (TriggerState::Pending, Deed::Nothing),", ["AO-015"]),
    ("no limit of a trigger is passed", "deploy/triggers/judge.rs",
     "let passed = terms.excess(value) > 0.0;", "let passed = terms.excess(value) > 1e300;", ["AO-015"]),
    ("too little seen is quiet", "deploy/triggers/judge.rs",
     "        _ => Sight::Unmeasured,\n    };\n    Reading {", "        _ => Sight::Quiet,\n    };\n    Reading {", ["AO-015"]),
    ("a limit is the other way round", "deploy/triggers/judge.rs",
     "self.above.map(|limit| value - limit)", "self.above.map(|limit| limit - value)", ["AO-015"]),
    ("a failed gate is as good as passed", "readiness/score.rs",
     "Outcome::Fail if finding.waived.is_some() => {}", "Outcome::Fail if finding.waived.is_some() || bar > 0.0 => {}",
     ["CF-017"]),
    # Performance
    ("every query takes 50 ms more", "store/readers.rs",
     "            let answer = catch_unwind(AssertUnwindSafe(|| query(&reader)));",
     "            std::thread::sleep(Duration::from_millis(50));\n"
     "            let answer = catch_unwind(AssertUnwindSafe(|| query(&reader)));", ["PF-001"]),
    ("status takes 200 ms more", "commands/status/serve.rs",
     "    let at = app.clock.now();\n",
     "    tokio::time::sleep(std::time::Duration::from_millis(200)).await;\n    let at = app.clock.now();\n", ["PF-007"]),
    ("the daemon spins", "daemon/lifecycle.rs",
     "    let pruning = tokio::spawn", "    std::thread::spawn(|| loop { std::hint::spin_loop() });\n"
     "    let pruning = tokio::spawn", ["PF-005"]),
    ("the daemon hoards", "daemon/lifecycle.rs",
     "    let watchdog = tokio::spawn", "    std::mem::forget(vec![1_u8; 150 << 20]);\n"
     "    let watchdog = tokio::spawn", ["PF-004"]),
    ("the daemon starts slowly", "daemon/boot.rs",
     "    let lock = Lock::take(&paths.lock).await?;",
     "    tokio::time::sleep(std::time::Duration::from_secs(6)).await;\n"
     "    let lock = Lock::take(&paths.lock).await?;", ["PF-006"]),
]

# Breakages that need a second edit to compile: file, exact text, what stands there instead.
ALSO = {
    "a failed write is kept": [("store/writer.rs", "fn step(connection: &Connection, sql: &str)",
                                "fn job_is_never_undone() -> bool {\n    false\n}\n\n"
                                "fn step(connection: &Connection, sql: &str)")],
    "the daemon's environment reaches every child": [
        ("agents/start.rs", "shared.paths.report_socket.clone().into_os_string()),\n    ];",
         "shared.paths.report_socket.clone().into_os_string()),\n    ]);")],
}


def mutants(number, seed):
    """As rows of the table, with the spans of their files in place of texts."""
    command = ["cargo", "mutants", "--list", "--json", "--no-shuffle"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    drawn = random.Random(seed).sample(sorted(json.loads(listed), key=lambda mutant: mutant["name"]), number)
    for mutant in drawn:
        file = mutant["file"].removeprefix("src/")
        lines = read(ROOT, file).splitlines(keepends=True)
        start, end = (sum(map(len, lines[:at["line"] - 1])) + at["column"] - 1
                      for at in (mutant["span"]["start"], mutant["span"]["end"]))
        text = "".join(lines)
        yield mutant["name"], file, text, text[:start] + mutant["replacement"] + text[end:], None


def edits(row):
    what, file, text, instead, _ = row
    return [(file, text, instead)] + ALSO.get(what, [])


def read(root, file):
    with open(os.path.join(root, "src", file), encoding="utf-8") as source:
        return source.read()


def write(root, file, text):
    with open(os.path.join(root, "src", file), "w", encoding="utf-8") as source:
        source.write(text)


def gone():
    """Texts that are not in the source exactly once."""
    return [f"{row[0]}: src/{file} has the text {read(ROOT, file).count(text)} times"
            for row in TABLE for file, text, _ in edits(row) if read(ROOT, file).count(text) != 1]


def copy(to):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        source, target = os.path.join(ROOT, name), os.path.join(to, name)
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            # With a time of now: in a build that is kept, what an earlier breakage left must not pass for the sound source.
            shutil.copy(source, target)


def build(root, target, jobs):
    command = ["cargo", "build", "--locked", "--bins"] + (["--jobs", str(jobs)] if jobs else [])
    environment = dict(os.environ, CARGO_TARGET_DIR=target, CARGO_INCREMENTAL="1")
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    return done.stderr if done.returncode else None


def judge(row, report, sound):
    """caught, named and the words for it."""
    now = outcomes(report)
    changed = {id: now.get(id, "gone") for id in sorted(set(now) | set(sound)) if now.get(id) != sound.get(id)}
    objected = [id for id, outcome in changed.items() if outcome in ("fail", "warn", "timeout", "error")]
    refused = report["verdict"] == "not-ready"
    named = [id for id in objected if row[4] is None or any(id == want or id.startswith(want + "-") for want in row[4])]
    words = ", ".join(f"{id} {outcome}" for id, outcome in changed.items()) or "nothing changed"
    return refused, refused and bool(named), f"{report['verdict']}: {words}"


def main():
    wish = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wish.add_argument("--only", default="", metavar="TEXT")
    wish.add_argument("--first", type=int, metavar="N")
    wish.add_argument("--mutants", type=int, metavar="N")
    wish.add_argument("--seed", type=int, default=1)
    wish.add_argument("--target", metavar="DIR")
    wish.add_argument("--jobs", type=int, metavar="N")
    wish.add_argument("--json", metavar="FILE")
    wish.add_argument("--list", action="store_true")
    wish.add_argument("--verify", action="store_true")
    wish = wish.parse_args()
    rows = [row for row in TABLE if re.search(wish.only, " ".join([row[0], row[1], *row[4]]))][:wish.first]
    if wish.mutants:
        rows = list(mutants(wish.mutants, wish.seed))
    if wish.list:
        for what, file, _, _, ids in rows:
            print(f"{what:48} src/{file:34} {', '.join(ids or ['any'])}")
        return 0
    stale = gone()
    if stale or wish.verify:
        print("\n".join(stale) or f"{len(TABLE)} breakages, each text once in the source")
        return 2 if stale else 0

    scratch = tempfile.mkdtemp(prefix="agentctl-sabotage-source-")
    target = os.path.abspath(wish.target) if wish.target else os.path.join(scratch, "target")
    results, missed = [], 0
    try:
        copy(scratch)
        why = build(scratch, target, wish.jobs)
        if why:
            sys.exit(f"cannot build the sound source:\n{why}")
        with Fleet(os.path.join(target, "debug")) as fleet:
            report = fleet.validate()
        if report is None or report["verdict"] == "not-ready":
            print(f"the sound source is not sound: {report and report['reasons']}", file=sys.stderr)
            return 2
        sound = outcomes(report)
        print(f"sound: {report['verdict']}, {len(sound)} checks\n", flush=True)
        for row in rows:
            began = time.monotonic()
            before = {file: read(scratch, file) for file, _, _ in edits(row)}
            for file, text, instead in edits(row):
                write(scratch, file, read(scratch, file).replace(text, instead))
            refused, named, words = True, False, ""
            why = build(scratch, target, wish.jobs)
            if why:
                errors = [line for line in why.splitlines() if line.startswith("error")]
                refused, words = False, "it does not build: " + "; ".join(errors[:2])
            else:
                with Fleet(os.path.join(target, "debug")) as fleet:
                    report = fleet.validate() if fleet.daemon.poll() is None else None
                    words = "the daemon does not serve" if report is None else ""
                if report is not None:
                    refused, named, words = judge(row, report, sound)
            for file, text in before.items():
                write(scratch, file, text)
            missed += not named
            verdict = "caught" if named else "unnamed" if refused else "MISSED"
            print(f"{verdict:8} {row[0]} (want {', '.join(row[4] or ['any'])})\n         {words}"
                  f"  [{time.monotonic() - began:.0f} s]", flush=True)
            results.append({"what": row[0], "file": row[1], "want": row[4], "refused": refused, "named": named,
                            "said": words})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if wish.json:
            with open(wish.json, "w", encoding="utf-8") as out:
                json.dump(results, out, indent=1)
    print(f"\n{len(results) - missed} of {len(results)} caught by name, "
          f"{sum(result['refused'] for result in results)} refused")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
