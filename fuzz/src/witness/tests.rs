//! That each rule about another decoder is needed, and names a section that says so.

use super::*;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().map(|digit| char::from(digit).to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn all_rules() -> impl Iterator<Item = (&'static Witness, &'static Rule)> {
    WITNESSES.iter().flat_map(|witness| witness.rules.iter().map(move |rule| (witness, rule)))
}

#[test]
fn every_rule_is_needed() {
    for (witness, rule) in all_rules() {
        let (side, hex) = rule.shown_by;
        let bytes = bytes_of(hex);
        let mut cases = 0;
        each_packet(&bytes, side, |decoded| {
            let case = Case::of(decoded.bytes, side, decoded.result.is_ok()).unwrap();
            assert_eq!(case.bytes, bytes, "{rule:?}");
            let with = case.ask(witness, &mut witness.rules.iter());
            assert_eq!(with, Ok(()), "{rule:?}");
            let mut others = witness.rules.iter().filter(|other| !std::ptr::eq(*other, rule));
            assert!(case.ask(witness, &mut others).is_err(), "not needed: {rule:?}");
            cases += 1;
        });
        assert_eq!(cases, 1, "{rule:?}");
    }
}

#[test]
fn every_rule_names_the_section_of_its_requirement() {
    let register = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/spec/requirements.tsv");
    let register = std::fs::read_to_string(register).unwrap();
    let rows: Vec<(&str, &str)> = register
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|columns| (columns[0], columns[1]))
        .collect();
    for (_, rule) in all_rules() {
        match rule.does {
            Does::Overlooks(id) => assert!(rows.contains(&(id, rule.section)), "{rule:?}"),
            _ => assert!(rows.iter().any(|(_, section)| *section == rule.section), "{rule:?}"),
        }
    }
}
