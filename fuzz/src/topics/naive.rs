//! Sections 4.7 and 4.8 by the letter.

/// Whether a text can be a Topic Name.
pub(super) fn is_name(text: &str) -> bool {
    is_topic(text) && !text.contains('+') && !text.contains('#')
}

/// Whether a text can be a Topic Filter.
pub(super) fn is_filter(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let last = levels.len() - 1;
    let is_level = |(at, level): (usize, &&str)| match *level {
        "#" => at == last,
        "+" => true,
        level => !level.contains(['+', '#']),
    };
    is_topic(text) && levels.iter().enumerate().all(is_level)
}

/// The group and the filter of what SUBSCRIBE has.
pub(super) fn subscription(text: &str) -> Option<(Option<&str>, &str)> {
    let mut levels = text.splitn(3, '/');
    if let (Some("$share"), Some(group)) = (levels.next(), levels.next()) {
        let filter = levels.next()?;
        let is_group = !group.is_empty() && !group.contains(['+', '#']);
        return (is_topic(text) && is_group && is_filter(filter)).then_some((Some(group), filter));
    }
    is_filter(text).then_some((None, text))
}

/// Section 4.7.3: what names and filters have in common.
fn is_topic(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains('\0')
}

/// Whether a filter matches a name.
pub(super) fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let (mut filter, mut name) = (filter.split('/'), name.split('/'));
    loop {
        match (filter.next(), name.next()) {
            // The level before the wildcard too: nothing needs to be left.
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}
