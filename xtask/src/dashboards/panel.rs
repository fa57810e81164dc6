//! How dashboards, rows and panels look in Grafana's JSON.

use serde_json::{Value, json};

/// Width of a dashboard.
const COLUMNS: u32 = 24;

/// A dashboard.
pub(super) struct Board {
    /// Also the file's name.
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) description: String,
    /// Whether there is a choice of systems, `$system`.
    pub(super) by_system: bool,
    pub(super) rows: Vec<Row>,
}

/// A row with a question that it answers.
pub(super) struct Row {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
}

/// A panel.
pub(super) struct Panel {
    pub(super) title: String,
    description: String,
    unit: &'static str,
    look: Look,
    /// Expression and legend.
    queries: Vec<(String, String)>,
}

/// How a panel looks.
enum Look {
    /// One number, red from this value on if it is given.
    Number { alarm_from: Option<f64>, alarm_below: Option<f64> },
    /// Lines over time, stacked or not.
    Lines { stacked: bool },
}

/// Returns a row.
pub(super) fn row(title: &str, panels: Vec<Panel>) -> Row {
    Row { title: title.to_owned(), panels }
}

/// Returns one number.
pub(super) fn number(title: &str, unit: &'static str, expression: &str) -> Panel {
    let look = Look::Number { alarm_from: None, alarm_below: None };
    Panel { title: title.to_owned(), description: String::new(), unit, look, queries: vec![(expression.to_owned(), String::new())] }
}

/// Returns lines over time: one query, with the legend for its series.
pub(super) fn lines(title: &str, unit: &'static str, expression: &str, legend: &str) -> Panel {
    let look = Look::Lines { stacked: false };
    Panel { title: title.to_owned(), description: String::new(), unit, look, queries: vec![(expression.to_owned(), legend.to_owned())] }
}

impl Panel {
    /// Says what is to be seen.
    pub(super) fn about(mut self, description: &str) -> Self {
        self.description = description.to_owned();
        self
    }

    /// Says when there is nothing to be seen: the test that runs all expressions accepts only then that there is nothing.
    pub(super) fn empty_if(mut self, when: &str) -> Self {
        self.description = format!("{} Empty if {when}.", self.description).trim().to_owned();
        self
    }

    /// Shows a second query.
    pub(super) fn and(mut self, expression: &str, legend: &str) -> Self {
        self.queries.push((expression.to_owned(), legend.to_owned()));
        self
    }

    /// Stacks the lines.
    pub(super) fn stacked(mut self) -> Self {
        self.look = Look::Lines { stacked: true };
        self
    }

    /// Shows the number in red from this value on.
    pub(super) fn alarm_from(mut self, value: f64) -> Self {
        self.look = Look::Number { alarm_from: Some(value), alarm_below: None };
        self
    }

    /// Shows the number in red below this value.
    pub(super) fn alarm_below(mut self, value: f64) -> Self {
        self.look = Look::Number { alarm_from: None, alarm_below: Some(value) };
        self
    }

    fn size(&self) -> (u32, u32) {
        match self.look {
            Look::Number { .. } => (4, 4),
            Look::Lines { .. } => (8, 8),
        }
    }

    fn to_json(&self, id: u32, x: u32, y: u32) -> Value {
        let (width, height) = self.size();
        let targets: Vec<Value> = (b'A'..).zip(&self.queries).map(|(letter, (expression, legend))| target(char::from(letter), expression, legend)).collect();
        let (kind, custom, options) = match &self.look {
            Look::Number { .. } => ("stat", json!({}), number_options()),
            Look::Lines { stacked } => ("timeseries", lines_style(*stacked), lines_options()),
        };
        json!({
            "id": id, "type": kind, "title": self.title, "description": self.description,
            "datasource": source(),
            "gridPos": { "h": height, "w": width, "x": x, "y": y },
            "fieldConfig": {
                "defaults": { "unit": self.unit, "custom": custom, "color": { "mode": self.color() }, "thresholds": { "mode": "absolute", "steps": self.steps() } },
                "overrides": [],
            },
            "options": options,
            "targets": targets,
        })
    }

    fn color(&self) -> &'static str {
        match self.look {
            Look::Number { .. } => "thresholds",
            Look::Lines { .. } => "palette-classic",
        }
    }

    fn steps(&self) -> Value {
        match self.look {
            Look::Number { alarm_from: Some(value), .. } => json!([{ "color": "green", "value": null }, { "color": "red", "value": value }]),
            Look::Number { alarm_below: Some(value), .. } => json!([{ "color": "red", "value": null }, { "color": "green", "value": value }]),
            Look::Number { .. } => json!([{ "color": "blue", "value": null }]),
            Look::Lines { .. } => json!([{ "color": "green", "value": null }]),
        }
    }
}

impl Board {
    /// Returns the dashboard as Grafana reads it.
    pub(super) fn to_json(&self) -> Value {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        let mut next_id = || {
            id += 1;
            id
        };
        for row in &self.rows {
            let head = json!({ "id": next_id(), "type": "row", "title": row.title, "collapsed": false, "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": y }, "panels": [] });
            panels.push(head);
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in &row.panels {
                let (width, own_height) = panel.size();
                if x + width > COLUMNS {
                    (x, y, height) = (0, y + height, 0);
                }
                panels.push(panel.to_json(next_id(), x, y));
                (x, height) = (x + width, height.max(own_height));
            }
            y += height;
        }
        json!({
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["orderflow"],
            "schemaVersion": 39, "version": 1, "editable": false, "graphTooltip": 1, "refresh": "10s", "timezone": "browser",
            "time": { "from": "now-30m", "to": "now" },
            "timepicker": {},
            "annotations": { "list": [alerts()] },
            "links": [{
                "title": "orderflow", "type": "dashboards", "tags": ["orderflow"], "asDropdown": true, "includeVars": true, "keepTime": true,
                "icon": "external link", "targetBlank": false, "tooltip": "", "url": "",
            }],
            "templating": { "list": self.variables() },
            "panels": panels,
        })
    }

    fn variables(&self) -> Vec<Value> {
        let source_choice = json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "multi": false, "includeAll": false, "refresh": 1, "regex": "",
            "current": { "text": "Prometheus", "value": "prometheus" }, "options": [], "skipUrlSync": false,
        });
        let query = "label_values(orderflow_instances, application)";
        let system = json!({
            "name": "system", "label": "System", "type": "query", "datasource": source(),
            "query": { "query": query, "refId": "systems" }, "hide": 0, "multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "regex": "", "sort": 1,
            "current": { "text": "All", "value": "$__all" }, "options": [], "skipUrlSync": false,
        });
        if self.by_system { vec![source_choice, system] } else { vec![source_choice] }
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn target(letter: char, expression: &str, legend: &str) -> Value {
    json!({ "refId": letter.to_string(), "datasource": source(), "expr": expression, "legendFormat": legend, "editorMode": "code", "range": true })
}

/// Alerts that fire are drawn across all panels.
fn alerts() -> Value {
    json!({
        "name": "Alerts", "datasource": source(), "enable": true, "hide": false, "iconColor": "red",
        "expr": "ALERTS{alertname=~\"Orderflow.*\", alertstate=\"firing\"}", "titleFormat": "{{alertname}}", "step": "15s",
    })
}

fn number_options() -> Value {
    json!({
        "colorMode": "background", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true,
        "percentChangeColorMode": "standard", "showPercentChange": false,
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
    })
}

fn lines_style(stacked: bool) -> Value {
    let (fill, mode) = if stacked { (30, "normal") } else { (5, "none") };
    json!({
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
        "stacking": { "group": "A", "mode": mode },
    })
}

fn lines_options() -> Value {
    json!({
        "legend": { "calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": true },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}
