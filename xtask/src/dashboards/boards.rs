//! What the dashboards show. Each begins with the row that says whether all is well; the rows below say where it is not.

use super::panel::{Board, Panel, Row, lines, number, row};

/// The businesses and how people call them.
const SYSTEMS: [(&str, &str); 3] = [("food-delivery", "Food delivery"), ("movie-booking", "Movie booking"), ("mask-shop", "Mask shop")];

/// What is chosen above the panels.
const CHOSEN: &str = r#"application=~"$system""#;

/// Returns all dashboards.
pub(super) fn all() -> Vec<Board> {
    let shared = [pipeline(), payments(), money(), views_and_http(), broker()];
    shared.into_iter().chain(SYSTEMS.map(|(system, title)| one_system(system, title))).collect()
}

fn board(uid: &str, title: &str, description: &str, by_system: bool, rows: Vec<Row>) -> Board {
    Board { uid: format!("orderflow-{uid}"), title: format!("orderflow / {title}"), description: description.to_owned(), by_system, rows }
}

/// Returns the expression for a quantile of a histogram, by these labels.
fn quantile(quantile: &str, metric: &str, filter: &str, by: &str) -> String {
    format!("histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket{{{filter}}}[$__rate_interval])))")
}

/// Returns the expression for a quantile of a histogram, whatever its labels.
fn quantile_of_all(quantile: &str, metric: &str) -> String {
    format!("histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket[$__rate_interval])))")
}

/// Returns the expression for the mean of a histogram, by these labels.
fn mean(metric: &str, filter: &str, by: &str) -> String {
    let part = |end: &str| format!("sum by ({by}) (rate({metric}_{end}{{{filter}}}[$__rate_interval]))");
    format!("{} / ({} > 0)", part("sum"), part("count"))
}

/// Returns the expression for the rate of a counter, by these labels.
fn rate(metric: &str, filter: &str, by: &str) -> String {
    format!("sum by ({by}) (rate({metric}{{{filter}}}[$__rate_interval]))")
}

fn ownerless(filter: &str) -> String {
    format!(
        r#"count(sum by (namespace, application, processor, partition) (orderflow_task_phase{{phase=~"restoring|running|waiting", {filter}}}) == 0) or vector(0)"#
    )
}

fn alerts_firing() -> Panel {
    let expression = r#"count(ALERTS{alertname=~"Orderflow.*", alertstate="firing"}) or vector(0)"#;
    number("Alerts that fire", "short", expression).alarm_from(1.0).about("Each links to a runbook.")
}

fn open_breakers(filter: &str) -> Panel {
    number("Breakers that are open", "short", &format!(r#"sum(orderflow_breaker_state{{state="open", {filter}}})"#)).alarm_from(1.0)
}

fn imbalance(filter: &str) -> Panel {
    let panel = number("Money out of balance (won)", "short", &format!("sum(orderflow_money_imbalance_won{{{filter}}})"));
    panel.alarm_from(1.0).about("Captured - refunded - live - open. Anything but 0 is an alarm.")
}

fn dead_letters(filter: &str) -> Panel {
    let expression = format!("sum(increase(orderflow_dead_letters_total{{{filter}}}[1h]))");
    number("Dead letters, last hour", "short", &expression).alarm_from(1.0)
}

fn pipeline() -> Board {
    let by_task = "application, processor, partition";
    let by_processor = "application, processor";
    let health = vec![
        alerts_firing(),
        number("Processes that answer", "percentunit", r#"avg(up{job="orderflow"})"#).alarm_below(1.0),
        number("Tasks without an owner", "short", &ownerless(CHOSEN)).alarm_from(1.0),
        number("Oldest record that waits", "s", r#"max(orderflow_consumergroup_lag_seconds_max{group=~"$system[.].*"})"#).alarm_from(60.0),
        open_breakers(CHOSEN),
        imbalance(CHOSEN),
    ];
    let flow = vec![
        lines("Inputs taken", "ops", &rate("orderflow_records_in_total", CHOSEN, by_processor), "{{application}}.{{processor}}").stacked(),
        lines("Records sent and acknowledged", "ops", &rate("orderflow_records_out_total", CHOSEN, "topic"), "{{topic}}").stacked(),
        lines("Events committed", "ops", &rate("orderflow_events_total", CHOSEN, "application, type"), "{{application}} {{type}}"),
        lines("Lag in records, by group", "short", r#"sum by (group) (orderflow_consumergroup_lag_sum{group=~"$system[.].*"})"#, "{{group}}"),
        lines("Lag in seconds, by group", "s", r#"max by (group) (orderflow_consumergroup_lag_seconds_max{group=~"$system[.].*"})"#, "{{group}}"),
        lines(
            "Record latency end to end, p99",
            "s",
            &quantile("0.99", "orderflow_record_e2e_latency_seconds", CHOSEN, by_processor),
            "{{application}}.{{processor}}",
        )
        .about("From the sender's timestamp to the commit of whoever took the record. Empty if a cluster loses timestamps behind a SmartModule."),
    ];
    let tasks = vec![
        lines(
            "Lag in records, the ten tasks that are most behind",
            "short",
            r#"topk(10, max by (group, topic, partition) (orderflow_consumergroup_lag{group=~"$system[.].*"}))"#,
            "{{group}}/{{partition}} {{topic}}",
        ),
        lines(
            "Lag in seconds, the ten tasks that are most behind",
            "s",
            r#"topk(10, max by (group, topic, partition) (orderflow_consumergroup_lag_seconds{group=~"$system[.].*"}))"#,
            "{{group}}/{{partition}} {{topic}}",
        ),
        lines(
            "Active-process ratio, the ten busiest tasks",
            "percentunit",
            &format!(r#"topk(10, {})"#, rate("orderflow_task_time_seconds_total", &format!(r#"activity="process", {CHOSEN}"#), by_task)),
            "{{application}}.{{processor}}/{{partition}}",
        )
        .about("At 100 % the processor is the limit, and more instances help."),
        lines(
            "Time in commits, the ten tasks with the most",
            "percentunit",
            &format!(r#"topk(10, {})"#, rate("orderflow_task_time_seconds_total", &format!(r#"activity="commit", {CHOSEN}"#), by_task)),
            "{{application}}.{{processor}}/{{partition}}",
        )
        .about("At 100 % the log is the limit, and more instances do not help."),
        lines(
            "Time of a transaction in the processor, p99",
            "s",
            &quantile("0.99", "orderflow_process_latency_seconds", CHOSEN, by_processor),
            "{{application}}.{{processor}}",
        ),
        lines("Time of a commit, p99", "s", &quantile("0.99", "orderflow_commit_latency_seconds", CHOSEN, by_processor), "{{application}}.{{processor}}"),
        lines("Records of a poll, mean", "short", &mean("orderflow_poll_records", CHOSEN, by_processor), "{{application}}.{{processor}}"),
        lines("Wait of a poll, mean", "s", &mean("orderflow_poll_latency_seconds", CHOSEN, by_processor), "{{application}}.{{processor}}"),
        lines("Commits", "ops", &rate("orderflow_commit_latency_seconds_count", CHOSEN, by_processor), "{{application}}.{{processor}}"),
    ];
    let owners = vec![
        lines("Tasks by phase", "short", &format!("sum by (phase) (orderflow_task_phase{{{CHOSEN}}})"), "{{phase}}"),
        lines("Instances", "short", &format!("max by (application) (orderflow_instances{{{CHOSEN}}})"), "{{application}}"),
        lines(
            "Changes of the assignment",
            "short",
            &format!("max by (application) (changes(orderflow_assignment_generation{{{CHOSEN}}}[5m]))"),
            "{{application}}",
        ),
        lines(
            "Journal records left to restore",
            "short",
            &format!("sum by ({by_processor}) (orderflow_restore_remaining_records{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        ),
        lines(
            "Time of the last restore",
            "s",
            &format!("max by ({by_processor}) (orderflow_restore_duration_seconds{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        )
        .and(&format!("max(orderflow_restore_records{{{CHOSEN}}})"), "records, at most"),
        lines("Lag of standbys", "short", &format!("max by ({by_processor}) (orderflow_standby_lag_records{{{CHOSEN}}})"), "{{application}}.{{processor}}"),
        lines(
            "Journal that a successor would read",
            "bytes",
            &format!("max by ({by_processor}) (orderflow_replay_bytes{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        ),
        lines(
            "Tasks that stopped by themselves",
            "ops",
            &rate("orderflow_task_failures_total", CHOSEN, "application, processor, kind"),
            "{{application}}.{{processor}} {{kind}}",
        )
        .empty_if("none ever did"),
        lines(
            "Reads and appends that were tried again",
            "ops",
            &rate("orderflow_log_retries_total", CHOSEN, "application, action"),
            "{{application}} {{action}}",
        ),
        lines(
            "Timers that have not fired",
            "short",
            &format!("sum by ({by_processor}) (orderflow_timers_pending{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        ),
        lines("Records that came a second time", "ops", &rate("orderflow_repeated_records_total", CHOSEN, by_processor), "{{application}}.{{processor}}"),
        lines(
            "Dead letters",
            "ops",
            &rate("orderflow_dead_letters_total", CHOSEN, "application, processor, reason"),
            "{{application}}.{{processor}} {{reason}}",
        )
        .and(&rate("orderflow_skipped_records_total", CHOSEN, by_processor), "{{application}}.{{processor}} skipped"),
    ];
    let processes = vec![
        lines("CPU", "percentunit", r#"sum by (instance) (rate(process_cpu_seconds_total{job="orderflow"}[$__rate_interval]))"#, "{{instance}}"),
        lines("Memory", "bytes", r#"sum by (instance) (process_resident_memory_bytes{job="orderflow"})"#, "{{instance}}"),
        lines("Open files and connections", "short", r#"sum by (instance) (process_open_fds{job="orderflow"})"#, "{{instance}}")
            .and(r#"min(process_max_fds{job="orderflow"})"#, "limit"),
        lines("Uptime", "s", r#"time() - max by (instance) (process_start_time_seconds{job="orderflow"})"#, "{{instance}}"),
        lines("Processes by version", "short", "count by (version) (orderflow_build_info)", "{{version}}").stacked(),
        lines("Threads", "short", r#"sum by (instance) (process_threads{job="orderflow"})"#, "{{instance}}"),
        lines("Spans of traces", "ops", &rate("orderflow_trace_spans_total", "", "outcome"), "{{outcome}}").empty_if("traces are sent nowhere"),
    ];
    let rows = vec![
        row("Is it healthy?", health),
        row("Does it flow, and who is behind?", flow),
        row("Which task, and what does its time go to?", tasks),
        row("Who owns the tasks, and do they stay?", owners),
        row("How are the processes?", processes),
    ];
    board("pipeline", "Pipeline", "Throughput, lag, latency and tasks of all processors.", true, rows)
}

fn payments() -> Board {
    let answered = "orderflow_partner_answer_duration_seconds";
    let partner = "application, partner";
    let health = vec![
        alerts_firing(),
        open_breakers(CHOSEN),
        number("Answers a second", "ops", &format!("sum(rate({answered}_count{{{CHOSEN}}}[$__rate_interval]))")),
        number(
            "Accepted in time, of all answers",
            "percentunit",
            &format!(r#"sum(rate({answered}_count{{outcome="accepted", late="false", {CHOSEN}}}[$__rate_interval])) / sum(rate({answered}_count{{{CHOSEN}}}[$__rate_interval]))"#),
        )
        .empty_if("no partner answers at the moment"),
        number("Orders that wait to be asked for again", "short", &format!("sum(orderflow_deferred_orders{{{CHOSEN}}})")).alarm_from(1_000.0),
        number("Charges in doubt", "short", "sum(orderflow_provider_calls_in_doubt)").alarm_from(1.0),
    ];
    let partners = vec![
        lines(
            "Answers by outcome",
            "ops",
            &rate(&format!("{answered}_count"), CHOSEN, "application, partner, outcome"),
            "{{application}} {{partner}} {{outcome}}",
        )
        .stacked(),
        lines("Time to the answer, median", "s", &quantile("0.5", answered, CHOSEN, partner), "{{application}} {{partner}}"),
        lines("Time to the answer, p99", "s", &quantile("0.99", answered, CHOSEN, partner), "{{application}} {{partner}}"),
        lines(
            "Late answers",
            "ops",
            &rate(&format!("{answered}_count"), &format!(r#"late="true", {CHOSEN}"#), "application, partner, outcome"),
            "{{application}} {{partner}} {{outcome}}",
        )
        .about("After the deadline: the customer has heard that it takes longer.")
        .empty_if("every partner has answered in time"),
        lines(
            "Attempts that are open",
            "short",
            &format!(r#"sum by (application, name) (orderflow_processor_totals{{name=~".*_attempts_open", {CHOSEN}}})"#),
            "{{application}} {{name}}",
        ),
        lines("Deferred orders", "short", &format!("sum by (application) (orderflow_deferred_orders{{{CHOSEN}}})"), "{{application}}"),
    ];
    let breakers = vec![
        lines(
            "Breakers by state",
            "short",
            &format!("sum by (application, breaker, state) (orderflow_breaker_state{{{CHOSEN}}})"),
            "{{application}} {{breaker}} {{state}}",
        ),
        lines(
            "Changes of state, five minutes",
            "short",
            &format!("sum by (application, breaker, from, to) (increase(orderflow_breaker_transitions_total{{{CHOSEN}}}[5m]))"),
            "{{application}} {{breaker}} {{from}} to {{to}}",
        ),
        lines(
            "Partitions whose breaker is not closed",
            "short",
            &format!(r#"sum by (application, partition) (orderflow_breaker_state{{state!="closed", {CHOSEN}}})"#),
            "{{application}}/{{partition}}",
        ),
    ];
    let provider = vec![
        lines("Calls to the payment provider", "ops", &rate("orderflow_provider_calls_total", "", "operation, outcome"), "{{operation}} {{outcome}}").stacked(),
        lines("Time of a call, p99", "s", &quantile("0.99", "orderflow_provider_call_duration_seconds", "", "operation"), "{{operation}}"),
        lines("Calls that run", "short", "sum by (instance) (orderflow_provider_calls_running)", "{{instance}}")
            .and("sum(orderflow_provider_calls_in_doubt)", "in doubt"),
        lines("Requests that repeat or ask", "ops", "sum by (instance) (rate(orderflow_provider_retries_total[$__rate_interval]))", "{{instance}}"),
        lines(
            "Calls that wait or run, by processor",
            "short",
            &format!("sum by (application, processor) (orderflow_calls_pending{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        ),
        lines("Deliveries to the webhook, p99", "s", &quantile("0.99", "orderflow_webhook_call_duration_seconds", "", "outcome"), "{{outcome}}")
            .empty_if("no webhook is called"),
    ];
    let rows = vec![
        row("Is it healthy?", health),
        row("Which partner, and how does it answer?", partners),
        row("What do the breakers do?", breakers),
        row("How is the provider behind it?", provider),
    ];
    board("payments", "Payments and breakers", "Partners, their answers, breakers, deferred orders and the payment provider.", true, rows)
}

fn money() -> Board {
    let account = |title: &str, account: &str| {
        lines(
            title,
            "short",
            &format!(r#"sum by (application, processor) (orderflow_money_won{{account="{account}", {CHOSEN}}})"#),
            "{{application}}.{{processor}}",
        )
    };
    let health = vec![
        imbalance(CHOSEN),
        number("Violations, last hour", "short", &format!("sum(increase(orderflow_money_violations_total{{{CHOSEN}}}[1h]))")).alarm_from(1.0),
        number("Charges in doubt", "short", "sum(orderflow_provider_calls_in_doubt)").alarm_from(1.0),
        number("Refunds that are tried again", "short", &format!(r#"sum(orderflow_processor_totals{{name="refunds_retrying", {CHOSEN}}})"#)).alarm_from(100.0),
        number("Refunds of what nobody knows any more", "short", &format!(r#"sum(orderflow_processor_totals{{name="stray_refunds_open", {CHOSEN}}})"#))
            .alarm_from(100.0),
        number("Live (won)", "short", &format!(r#"sum(orderflow_money_won{{account="live", {CHOSEN}}})"#)),
    ];
    let accounts = vec![
        account("Captured (won)", "captured"),
        account("Refunded (won)", "refunded"),
        account("Live: of placed orders (won)", "live"),
        account("Open: neither live nor refunded yet (won)", "open"),
        lines(
            "Out of balance (won)",
            "short",
            &format!("sum by (application, processor) (orderflow_money_imbalance_won{{{CHOSEN}}})"),
            "{{application}}.{{processor}}",
        ),
        lines(
            "Violations",
            "short",
            &format!("sum by (application, processor) (increase(orderflow_money_violations_total{{{CHOSEN}}}[5m]))"),
            "{{application}}.{{processor}}",
        ),
    ];
    let movements = vec![
        lines(
            "Payments and refunds",
            "ops",
            &rate("orderflow_events_total", &format!(r#"type=~"Payment.*|Refund.*", {CHOSEN}"#), "application, type"),
            "{{application}} {{type}}",
        ),
        lines("What the simulated provider did (won)", "short", "sum by (account) (orderflow_provider_money_won)", "{{account}}"),
        lines("Charges in doubt, by process", "short", "sum by (instance) (orderflow_provider_calls_in_doubt)", "{{instance}}"),
    ];
    let rows = vec![row("Is it in balance?", health), row("Where is the money?", accounts), row("What moves it?", movements)];
    board("money", "Money", "Captured = refunded + live + open, at every step.", true, rows)
}

fn views_and_http() -> Board {
    let health = vec![
        alerts_firing(),
        number("Requests a second", "reqps", "sum(rate(orderflow_http_requests_total[$__rate_interval]))"),
        number(
            "Requests that fail (5xx)",
            "percentunit",
            r#"(sum(rate(orderflow_http_requests_total{status=~"5.."}[$__rate_interval])) or vector(0)) / sum(rate(orderflow_http_requests_total[$__rate_interval]))"#,
        )
        .alarm_from(0.01)
        .empty_if("nobody asks for anything"),
        number("Commands, p99", "s", &quantile_of_all("0.99", "orderflow_command_duration_seconds"))
            .alarm_from(2.5)
            .empty_if("there are no commands"),
        number("Records that views have not taken", "short", "sum(orderflow_view_lag_records)").alarm_from(10_000.0),
        number("Views, behind at most", "s", "max(orderflow_view_lag_seconds)").alarm_from(30.0),
    ];
    let http = vec![
        lines("Requests by route", "reqps", &rate("orderflow_http_requests_total", "", "method, route"), "{{method}} {{route}}").stacked(),
        lines("Requests by status", "reqps", &rate("orderflow_http_requests_total", "", "status"), "{{status}}").stacked(),
        lines(
            "Time of a request by route, p99",
            "s",
            &quantile("0.99", "orderflow_http_request_duration_seconds", "", "method, route"),
            "{{method}} {{route}}",
        ),
        lines("Commands by outcome", "ops", &rate("orderflow_commands_total", "", "system, outcome"), "{{system}} {{outcome}}").stacked(),
        lines("Time to the outcome, p99", "s", &quantile("0.99", "orderflow_command_duration_seconds", "", "system, command"), "{{system}} {{command}}"),
        lines("Commands appended", "ops", &rate("orderflow_commands_appended_total", "", "topic"), "{{topic}}")
            .and(&rate("orderflow_command_appends_failed_total", "", "topic"), "{{topic}} failed"),
        lines("Connections of the API that broke", "ops", &rate("orderflow_api_reconnects_total", "", "system"), "{{system}}").empty_if("none ever did"),
    ];
    let view = "system, view";
    let views = vec![
        lines("Lag in records", "short", "sum by (system, view) (orderflow_view_lag_records)", "{{system}}/{{view}}"),
        lines("Lag in seconds", "s", "max by (system, view) (orderflow_view_lag_seconds)", "{{system}}/{{view}}"),
        lines("From the event to the view, p99", "s", &quantile("0.99", "orderflow_view_e2e_latency_seconds", "", view), "{{system}}/{{view}}"),
        lines("Records taken", "ops", &rate("orderflow_view_records_total", "", view), "{{system}}/{{view}}").stacked(),
        lines("Documents written", "ops", &rate("orderflow_view_documents_total", "", view), "{{system}}/{{view}}").stacked(),
        lines("Records of a batch, mean", "short", &mean("orderflow_view_batch_records", "", view), "{{system}}/{{view}}"),
        lines("Time to write a batch, p99", "s", &quantile("0.99", "orderflow_view_write_latency_seconds", "", view), "{{system}}/{{view}}"),
        lines("Stalls", "ops", &rate("orderflow_view_stalls_total", "", view), "{{system}}/{{view}}"),
        lines("Records refused or missed", "ops", &rate("orderflow_view_records_refused_total", "", view), "{{system}}/{{view}} refused")
            .and(&rate("orderflow_view_records_missed_total", "", view), "{{system}}/{{view}} missed"),
    ];
    let rows = vec![row("Is it healthy?", health), row("Which request?", http), row("Which view?", views)];
    board("views-http", "Views and HTTP", "What customers wait for, and how far behind what they see is.", false, rows)
}

fn broker() -> Board {
    let health = vec![
        alerts_firing(),
        number("Refuses records", "short", "max(orderflow_broker_disk_refuses)").alarm_from(1.0),
        number("Disk that is free", "percentunit", "min(orderflow_broker_disk_free_bytes / orderflow_broker_disk_size_bytes)").alarm_below(0.1),
        number("Records appended a second", "ops", "sum(rate(orderflow_broker_records_appended_total[$__rate_interval]))"),
        number("Append to disk, p99", "s", &quantile_of_all("0.99", "orderflow_broker_append_latency_seconds")),
        number("Streams", "short", "sum(orderflow_broker_streams)"),
    ];
    let topics = vec![
        lines("Records appended, by topic", "ops", &rate("orderflow_broker_records_appended_total", "", "topic"), "{{topic}}").stacked(),
        lines("Bytes appended, by topic", "Bps", &rate("orderflow_broker_appended_bytes_total", "", "topic"), "{{topic}}").stacked(),
        lines("Records sent, by topic", "ops", &rate("orderflow_broker_records_sent_total", "", "topic"), "{{topic}}").stacked(),
        lines("Bytes sent, by topic", "Bps", &rate("orderflow_broker_topic_sent_bytes_total", "", "topic"), "{{topic}}").stacked(),
        lines("Ten largest topics on disk", "bytes", "topk(10, sum by (topic) (orderflow_broker_log_size_bytes))", "{{topic}}"),
        lines("Appends refused", "ops", &rate("orderflow_broker_produce_refused_total", "", "topic"), "{{topic}}"),
    ];
    let disk = vec![
        lines("Disk", "bytes", "min by (instance) (orderflow_broker_disk_free_bytes)", "{{instance}} free")
            .and("max by (instance) (orderflow_broker_disk_size_bytes)", "{{instance}} size"),
        lines("Time of an append and of a group fsync, p99", "s", &quantile_of_all("0.99", "orderflow_broker_append_latency_seconds"), "append")
            .and(&quantile_of_all("0.99", "orderflow_broker_fsync_latency_seconds"), "fsync"),
        lines(
            "Partitions of one fsync, mean",
            "short",
            "sum(rate(orderflow_broker_logs_synced_total[$__rate_interval])) / (sum(rate(orderflow_broker_fsync_latency_seconds_count[$__rate_interval])) > 0)",
            "partitions",
        ),
    ];
    let modules = vec![
        lines("Records into and out of SmartModules", "ops", "sum(rate(orderflow_broker_smartmodule_records_in_total[$__rate_interval]))", "in")
            .and("sum(rate(orderflow_broker_smartmodule_records_out_total[$__rate_interval]))", "out"),
        lines("Time of a run of SmartModules, p99", "s", &quantile_of_all("0.99", "orderflow_broker_smartmodule_latency_seconds"), "run"),
        lines("Failures of SmartModules", "ops", "sum(rate(orderflow_broker_smartmodule_failures_total[$__rate_interval]))", "failures"),
    ];
    let connections = vec![
        lines("Connections", "short", "sum by (plane) (orderflow_broker_connections)", "{{plane}}").and("sum(orderflow_broker_streams)", "streams"),
        lines(
            "Connections that ended, and clients turned away",
            "ops",
            &rate("orderflow_broker_connections_closed_total", "", "plane, reason"),
            "{{plane}} {{reason}}",
        )
        .and(&rate("orderflow_broker_connections_refused_total", "", "plane"), "{{plane}} turned away"),
        lines("Bytes of requests and responses", "Bps", &rate("orderflow_broker_received_bytes_total", "", "plane"), "{{plane}} received")
            .and(&rate("orderflow_broker_sent_bytes_total", "", "plane"), "{{plane}} sent"),
    ];
    let clients = vec![
        lines("Connections made and broken", "ops", &rate("orderflow_log_connections_total", "", "purpose"), "{{purpose}} made")
            .and(&rate("orderflow_log_disconnects_total", "", "purpose"), "{{purpose}} broken"),
        lines("Append as the client sees it, p99", "s", &quantile("0.99", "orderflow_log_append_latency_seconds", "", "instance"), "{{instance}}"),
        lines("Appends that failed", "ops", &rate("orderflow_log_appends_failed_total", "", "instance"), "{{instance}}"),
        lines("Records appended and fetched", "ops", &rate("orderflow_log_records_appended_total", "", "instance"), "{{instance}} appended")
            .and(&rate("orderflow_log_records_fetched_total", "", "instance"), "{{instance}} fetched"),
        lines("Bytes sent and received", "Bps", &rate("orderflow_log_sent_bytes_total", "", "instance"), "{{instance}} sent")
            .and(&rate("orderflow_log_received_bytes_total", "", "instance"), "{{instance}} received"),
        lines("Streams opened anew", "ops", &rate("orderflow_log_streams_reopened_total", "", "reason"), "{{reason}}"),
    ];
    let rows = vec![
        row("Is it healthy?", health),
        row("Which topic?", topics),
        row("Is it the disk?", disk),
        row("Is it the SmartModules?", modules),
        row("Who is connected?", connections),
        row("What do the clients of the log see? (also of a real cluster)", clients),
    ];
    board("broker", "Broker and log", "The embedded broker, and the log as its clients see it.", false, rows)
}

/// One business: all three look alike.
fn one_system(system: &str, title: &str) -> Board {
    let of = format!(r#"application="{system}""#);
    let of_view = format!(r#"system="{system}""#);
    let of_group = format!(r#"group=~"{system}[.].*""#);
    let health = vec![
        number("Oldest record that waits", "s", &format!("max(orderflow_consumergroup_lag_seconds_max{{{of_group}}})")).alarm_from(60.0),
        number("Tasks without an owner", "short", &ownerless(&of)).alarm_from(1.0),
        open_breakers(&of),
        number("Orders that wait to be asked for again", "short", &format!("sum(orderflow_deferred_orders{{{of}}})")).alarm_from(1_000.0),
        dead_letters(&of),
        number("View, behind at most", "s", &format!("max(orderflow_view_lag_seconds{{{of_view}}})")).alarm_from(30.0),
    ];
    let business = vec![
        lines("What happens", "ops", &rate("orderflow_events_total", &of, "type"), "{{type}}").about("Events by type, as they are committed."),
        lines("Commands over HTTP by outcome", "ops", &rate("orderflow_commands_total", &of_view, "command, outcome"), "{{command}} {{outcome}}").stacked(),
        lines("Refusals by reason", "ops", &rate("orderflow_rejections_total", &of, "processor, reason"), "{{processor}} {{reason}}")
            .empty_if("nothing was ever refused"),
        lines("Time to the outcome of a command, p99", "s", &quantile("0.99", "orderflow_command_duration_seconds", &of_view, "command"), "{{command}}"),
        lines(
            "Answers of partners",
            "ops",
            &rate("orderflow_partner_answer_duration_seconds_count", &of, "partner, outcome, late"),
            "{{partner}} {{outcome}} late={{late}}",
        ),
        lines("Totals", "short", &format!("sum by (processor, name) (orderflow_processor_totals{{{of}}})"), "{{processor}} {{name}}"),
    ];
    let flow = vec![
        lines("Inputs taken", "ops", &rate("orderflow_records_in_total", &of, "processor"), "{{processor}}").stacked(),
        lines("Lag in records", "short", &format!("sum by (group) (orderflow_consumergroup_lag_sum{{{of_group}}})"), "{{group}}"),
        lines("Lag in seconds", "s", &format!("max by (group) (orderflow_consumergroup_lag_seconds_max{{{of_group}}})"), "{{group}}"),
        lines("Breakers by state", "short", &format!("sum by (breaker, state) (orderflow_breaker_state{{{of}}})"), "{{breaker}} {{state}}"),
        lines("Tasks by phase", "short", &format!("sum by (phase) (orderflow_task_phase{{{of}}})"), "{{phase}}"),
        lines("View, lag in records", "short", &format!("sum by (view) (orderflow_view_lag_records{{{of_view}}})"), "{{view}}"),
    ];
    let mut rows = vec![row("Is it healthy?", health), row("How is the business?", business), row("Where does it hang?", flow)];
    // The mask shop takes no money.
    if system != "mask-shop" {
        let accounts = lines("Money (won)", "short", &format!("sum by (processor, account) (orderflow_money_won{{{of}}})"), "{{processor}} {{account}}");
        rows.push(row("Where is the money?", vec![imbalance(&of), accounts]));
    }
    board(system, title, "One business, from the order to the view.", false, rows)
}
