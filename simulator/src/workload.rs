//! What people send: deposits, transfers, repeats, refused ones, garbage, some of it to the wrong partition.

use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::NewRecord;
use fluvio_streams::testing::Random;
use serde_json::json;

use crate::broker::Place;
use crate::limits::PARTITIONS;

/// Commands that were not sent yet, last one first.
pub(crate) struct Workload {
    commands: Vec<(Place, NewRecord)>,
}

impl Workload {
    pub(crate) fn draw(random: &mut Random, count: u64) -> Self {
        let mut commands: Vec<(Place, NewRecord)> = Vec::new();
        for number in 0..count {
            let account = format!("a-{}", random.below(5));
            let amount = 1 + random.below(9) as i64;
            let value = match random.below(20) {
                0 => b"{\"type\":\"Deposit\",".to_vec(),
                1 => json!({"type": "Nonsense", "account": account, "commandId": format!("c-{number}")}).to_string().into_bytes(),
                2 => json!({"type": "Deposit", "account": account, "amount": -amount}).to_string().into_bytes(),
                3..=8 => {
                    let to = format!("a-{}", random.below(5));
                    json!({"type": "Transfer", "account": account, "to": to, "amount": amount, "commandId": format!("c-{number}")}).to_string().into_bytes()
                }
                9 => json!({"type": "Deposit", "account": account, "amount": amount}).to_string().into_bytes(),
                _ => json!({"type": "Deposit", "account": account, "amount": amount, "commandId": format!("c-{number}")}).to_string().into_bytes(),
            };
            let partition = match random.once_in(5) {
                true => random.below(PARTITIONS.into()) as u32,
                false => partition_for(account.as_bytes(), PARTITIONS),
            };
            let command = (Place::of("commands", partition), NewRecord::keyed(&account, value));
            if random.once_in(8) {
                commands.insert(random.below(commands.len() as u64 + 1) as usize, command.clone());
            }
            commands.push(command);
        }
        commands.reverse();
        Self { commands }
    }

    /// Returns the next command.
    pub(crate) fn next(&mut self) -> Option<(Place, NewRecord)> {
        self.commands.pop()
    }
}
