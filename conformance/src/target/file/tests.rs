use std::path::Path;

use super::*;

const LEAST: &str = "about = \"a\"\naddress.mqtt = \"mqtt://h\"\n";

fn error_of(more: &str) -> String {
    match TargetFile::parse(&format!("{LEAST}{more}"), Path::new(".")) {
        Ok(file) => file.choose(&Choice::default()).unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn every_provided_file_can_be_used_in_every_variant() {
    for provided in Provided::all() {
        let file = provided.file().unwrap_or_else(|error| panic!("{error}"));
        let variants: Vec<_> = file.variants().map(|(name, _)| vec![name.to_owned()]).collect();
        for variants in variants.into_iter().chain([Vec::new()]) {
            for transport in file.transports() {
                let transport = Some(transport.to_owned());
                let choice = Choice { variants: variants.clone(), transport, ..Choice::default() };
                let chosen = file.choose(&choice);
                let chosen = chosen.unwrap_or_else(|error| panic!("{}: {error}", provided.name));
                assert!(chosen.launch.is_some(), "{}", provided.name);
            }
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_what_is_nearest() {
    for (more, told) in [
        ("adress = 1", "line 3: there is no key 'adress' at the top: did you mean 'address'?"),
        (
            "[start]\ncomand = \"x\"",
            "line 4: there is no key 'comand' in [start]: did you mean 'command'?",
        ),
        ("[variant.a]\nabout = \"x\"\nvalue.a = \"\"", "in [variant.*]: did you mean 'values'?"),
        ("[scram]\nusernam = \"x\"", "did you mean 'username'?"),
        ("[start]\nenv.a = \"x\"", "either a command or an image"),
        ("[start]\ncommand = \"x '\"", "a quote without its other"),
        ("[start]\ncommand = \"x {dri}\"", "did you mean '{dir}'?"),
        ("[start]\ncommand = \"x\"\nready_within = \"soon\"", "no time such as"),
        ("[start]\ncommand = \"x\"\nfiles.\"../a\" = \"\"", "outside of {dir}"),
        ("[start]\nimage = \"x\"\nports = [\"a\"]", "no HOST:CONTAINER"),
        ("[start]\nimage = \"x\"\ncopies.a = \"/a\"", "[start.files] does not have"),
        ("rights = true", "the [other_user], who is missing"),
        ("other_user.username = \"bob\"", "no [credentials] of the first"),
        ("scram.username = \"x\"", "both username and password"),
        (
            "credentials.password_env = \"NO_SUCH_VARIABLE\"",
            "no environment variable NO_SUCH_VARIABLE",
        ),
        ("keeps.stop = [\"all\"]", "nothing that [keeps] can name: sessions,"),
        ("about = 1", "line 3"),
        ("x", "line 3"),
    ] {
        let error = error_of(more);
        assert!(error.contains(told), "{more}: {error}");
    }
    let error = TargetFile::parse("about = \"a\"", Path::new(".")).unwrap_err();
    assert!(error.contains("[address] is missing"), "{error}");
}

#[test]
fn variants_are_put_together() {
    let text = format!(
        "{LEAST}[values]\na = \"0\"\nb = \"{{a}}\"\n[start]\ncommand = \"x '{{b}}'\"\n\
         [variant.one]\nabout = \"\"\nvalues.a = \"1\"\n[variant.two]\nabout = \"\"\nvalues.a = \"2\"\nredirects = true\n"
    );
    let file = TargetFile::parse(&text, Path::new(".")).unwrap();
    let command = |variants: &[&str], values: &[(&str, &str)]| {
        let variants = variants.iter().map(|name| (*name).to_owned()).collect();
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let choice = Choice { variants, values: values.collect(), transport: None };
        let chosen = file.choose(&choice)?;
        Ok::<_, String>((format!("{:?}", chosen.launch), chosen.address))
    };
    assert!(command(&[], &[]).unwrap().0.contains("[\"x\", \"0\"]"));
    let (launch, address) = command(&["one", "two"], &[]).unwrap();
    assert!(launch.contains("[\"x\", \"1\\n2\"]"), "{launch}");
    assert!(format!("{address:?}").contains("redirects: true"));
    assert!(command(&["one"], &[("a", "3")]).unwrap().0.contains("[\"x\", \"3\"]"));
    assert!(command(&["ones"], &[]).unwrap_err().contains("did you mean 'one'?"));
    assert!(command(&[], &[("aa", "3")]).unwrap_err().contains("did you mean 'a'?"));
}
