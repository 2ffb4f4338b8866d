//! What `weir top` draws of what was said: nothing here asks, waits, or remembers.

use crate::snapshot::Snapshot;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use weir_io::admin::messages::{GatewayStatus, Tablet};

/// Lines of a table beside its rows: a border above and below, and the heads.
const TABLE_LINES: u16 = 3;
/// Lines of trouble that are shown, at most.
const TROUBLE_MAX: usize = 5;
/// A pool that has no more to give.
const FULL: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot) {
    let lines = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(TABLE_LINES);
    let trouble = trouble(snapshot);
    let [head, tablets, gateways, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lines(snapshot.tablets.len())),
        Constraint::Length(lines(snapshot.gateways.len())),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(snapshot), head);
    frame.render_widget(self::tablets(&snapshot.tablets), tablets);
    frame.render_widget(self::gateways(snapshot), gateways);
    frame.render_widget(Paragraph::new(trouble), foot);
}

fn title(snapshot: &Snapshot) -> Line<'static> {
    if !snapshot.is_there {
        return Line::from(" weir top: asking...");
    }
    let clients: u64 = answered(snapshot).map(|gateway| gateway.clients).sum();
    let rate: f64 = answered(snapshot).map(|gateway| gateway.queries_per_second).sum();
    let mut line = Line::from(vec![Span::styled(format!(" weir {} ", snapshot.shard), HEAD)]);
    line.push_span(match &snapshot.holder {
        Some(holder) => match &holder.primary {
            Some(primary) => Span::styled(format!("{primary} is primary in term {}", holder.term), GOOD),
            None => Span::styled(format!("no primary, term {} is being begun", holder.term), BAD),
        },
        None => Span::raw("no orchestrator acts"),
    });
    line.push_span(Span::raw(format!("  {clients} clients, {rate:.0} q/s")));
    line.push_span(Span::styled("  q quits", Style::new().add_modifier(Modifier::DIM)));
    line
}

fn answered(snapshot: &Snapshot) -> impl Iterator<Item = &GatewayStatus> {
    snapshot.gateways.iter().filter_map(|(_, status)| status.as_ref().ok())
}

fn tablets(tablets: &[Tablet]) -> Table<'_> {
    let heads = ["Tablet", "Role", "Term", "Lag s", "q/s", "Running", "Pool", "Waiting", "State"];
    let widths = [20, 8, 6, 9, 9, 8, 10, 8].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    Table::new(tablets.iter().map(tablet), widths)
        .header(Row::new(heads).style(HEAD))
        .block(Block::bordered().title(" Tablets "))
}

fn tablet(tablet: &Tablet) -> Row<'_> {
    let serves = tablet.state == "serves";
    let pool = tablet.pool.unwrap_or_default();
    let in_use = format!("{}/{}", pool.busy, pool.busy + pool.idle);
    let state = match (serves, tablet.drained, tablet.note.as_str()) {
        (_, true, _) => plain(&tablet.rotation),
        (_, false, note) if !note.is_empty() => plain(note),
        (true, ..) if tablet.rotation.starts_with("out") => plain(&tablet.rotation),
        _ => plain(&tablet.state),
    };
    Row::new([
        Cell::from(tablet.tablet.as_str()),
        Cell::from(tablet.role.as_str()).style(if tablet.role == "PRIMARY" { HEAD } else { Style::new() }),
        Cell::from(tablet.term.to_string()),
        Cell::from(tablet.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.3}"))),
        Cell::from(format!("{:.1}", tablet.queries_per_second)),
        Cell::from(tablet.running.to_string()),
        Cell::from(in_use),
        Cell::from(pool.waiting.to_string()).style(if pool.waiting > 0 { FULL } else { Style::new() }),
        Cell::from(state).style(if serves { GOOD } else { BAD }),
    ])
}

fn gateways(snapshot: &Snapshot) -> Table<'_> {
    let heads = ["Gateway", "Cell", "Clients", "q/s", "Refused", "Up s", "At"];
    let widths = [24, 12, 8, 9, 9, 9].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
    let row = |(name, status): &(String, Result<GatewayStatus, String>)| {
        let name = Cell::from(plain(name));
        match status {
            Ok(status) => Row::new([
                name,
                Cell::from(plain(&status.cell)),
                Cell::from(status.clients.to_string()),
                Cell::from(format!("{:.1}", status.queries_per_second)),
                Cell::from(status.clients_refused.to_string()),
                Cell::from(status.uptime_seconds.to_string()),
                Cell::from(plain(&status.mysql)),
            ]),
            Err(why) => Row::new(
                [name].into_iter().chain((0..5).map(|_| Cell::from("-"))).chain([Cell::from(plain(why)).style(BAD)]),
            ),
        }
    };
    Table::new(snapshot.gateways.iter().map(row), widths)
        .header(Row::new(heads).style(HEAD))
        .block(Block::bordered().title(" Gateways "))
}

fn trouble(snapshot: &Snapshot) -> Vec<Line<'static>> {
    let holder = snapshot.holder.iter();
    let quarantined = holder.clone().flat_map(|holder| &holder.quarantined);
    let quarantined = quarantined.map(|it| format!("{} stays out: {}", it.tablet, it.why));
    let problems = holder.flat_map(|holder| &holder.problems).map(|it| format!("{}: {}", it.tablet, it.code));
    let said = snapshot.trouble.iter().cloned().chain(quarantined).chain(problems);
    said.take(TROUBLE_MAX).map(|line| Line::styled(format!(" {}", plain(&line)), BAD)).collect()
}

/// On one line, whatever stands in it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use weir_io::admin::messages::{OrchestratorStatus, Pool, Problem, Quarantined};

    fn drawn(snapshot: &Snapshot, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, snapshot)).expect("it is drawn");
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn snapshot() -> Snapshot {
        let tablet = |number: u64, role: &str, lag_seconds| Tablet {
            tablet: format!("zone1-{number:010}"),
            role: role.to_owned(),
            term: 3,
            state: "serves".to_owned(),
            lag_seconds,
            queries_per_second: 120.25,
            running: 4,
            pool: Some(Pool { busy: 7, idle: 3, waiting: 2, ..Pool::default() }),
            ..Tablet::default()
        };
        let gateway = GatewayStatus {
            cell: "zone1".to_owned(),
            mysql: "10.0.0.1:3307".to_owned(),
            clients: 42,
            queries_per_second: 240.5,
            ..GatewayStatus::default()
        };
        Snapshot {
            is_there: true,
            shard: "shop/0".to_owned(),
            holder: Some(OrchestratorStatus {
                term: 3,
                primary: Some("zone1-0000000001".to_owned()),
                quarantined: vec![Quarantined { tablet: "zone1-0000000003".into(), why: "it has 0-1-7".into() }],
                problems: vec![Problem { code: "NotEnoughAckers".into(), tablet: "zone1-0000000001".into() }],
                ..OrchestratorStatus::default()
            }),
            tablets: vec![tablet(1, "PRIMARY", None), tablet(2, "REPLICA", Some(0.25))],
            gateways: vec![("db1-15991".to_owned(), Ok(gateway)), ("db2-15991".to_owned(), Err("refused".to_owned()))],
            trouble: Vec::new(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn everything_is_in_its_line() {
        let lines = drawn(&snapshot(), 110, 16);
        assert_eq!(lines[0], " weir shop/0 zone1-0000000001 is primary in term 3  42 clients, 240 q/s  q quits");
        let cells = |line: usize| lines[line].trim_matches('│').split_whitespace().collect::<Vec<_>>();
        assert_eq!(cells(3), ["zone1-0000000001", "PRIMARY", "3", "-", "120.2", "4", "7/10", "2", "serves"]);
        assert_eq!(cells(4), ["zone1-0000000002", "REPLICA", "3", "0.250", "120.2", "4", "7/10", "2", "serves"]);
        assert_eq!(cells(8), ["db1-15991", "zone1", "42", "240.5", "0", "0", "10.0.0.1:3307"]);
        assert_eq!(cells(9), ["db2-15991", "-", "-", "-", "-", "-", "refused"]);
        assert_eq!(lines[11], " zone1-0000000003 stays out: it has 0-1-7");
        assert_eq!(lines[12], " zone1-0000000001: NotEnoughAckers");
    }

    #[test]
    fn what_a_tablet_does_not_do_is_said() {
        let mut snapshot = snapshot();
        snapshot.tablets[1].rotation = "out: drained by an operator".to_owned();
        snapshot.tablets[1].drained = true;
        snapshot.tablets[0].state = "does not serve: its server\ndoes not answer".to_owned();
        let lines = drawn(&snapshot, 130, 16);
        assert!(lines[3].contains("does not serve: its server does not answer"), "{lines:?}");
        assert!(lines[4].contains("out: drained by an operator"), "{lines:?}");
    }

    #[test]
    fn a_small_terminal_is_no_trouble() {
        for (width, height) in [(1, 1), (20, 5), (200, 60)] {
            assert_eq!(drawn(&snapshot(), width, height).len(), usize::from(height));
        }
        assert_eq!(drawn(&Snapshot::default(), 40, 3)[0], " weir top: asking...");
    }
}
