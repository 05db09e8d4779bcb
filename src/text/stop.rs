/// Watches a stream of text for stop strings, and holds back what might be the start of one.
///
/// The text before the stop string is shown, the stop string and what follows it are not. Where several would match,
/// the one that starts first counts.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that ends in the start of a stop string; always shorter than the longest of them.
    held: String,
    stopped: Option<String>,
}

impl StopStrings {
    /// Watches for any of `stops`; empty strings are ignored, since they would stop before the first word.
    pub fn new<S: Into<String>>(stops: impl IntoIterator<Item = S>) -> Self {
        let stops = stops.into_iter().map(Into::into).filter(|stop: &String| !stop.is_empty()).collect();
        Self { stops, held: String::new(), stopped: None }
    }

    /// Takes the next piece of the stream. Returns what may be shown now, and whether a stop string was met: from then
    /// on nothing more is shown.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        if self.stopped.is_some() {
            return (String::new(), true);
        }
        self.held.push_str(text);
        let first = self.stops.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop))).min();
        if let Some((start, stop)) = first {
            self.stopped = Some(stop.clone());
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, held), false)
    }

    /// The stop string that was met.
    pub fn matched(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// What was held back when the stream ends without a stop string.
    pub fn finish(self) -> String {
        self.held
    }
}

/// The length of the longest proper start of `stop` that `text` ends in.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices()
        .map(|(length, _)| length)
        .rev()
        .find(|&length| length <= text.len() && text.as_bytes().ends_with(&stop.as_bytes()[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool, String) {
        let mut watch = StopStrings::new(stops.iter().copied());
        let (mut parts, mut stopped) = (Vec::new(), false);
        for piece in pieces {
            let (part, now) = watch.push(piece);
            parts.push(part);
            stopped = now;
        }
        (parts, stopped, watch.finish())
    }

    #[test]
    fn the_start_of_a_stop_string_is_held_back_until_it_is_decided() {
        let (parts, stopped, rest) = stream(&["\nUser:"], &["Hi\n", "Us", "ual\nUser", ": x", "y"]);
        assert_eq!(parts, ["Hi", "", "\nUsual", "", ""]);
        assert!(stopped);
        assert_eq!(rest, "");
    }

    #[test]
    fn what_was_held_comes_out_at_the_end() {
        assert_eq!(stream(&["<end>"], &["a<e", "n"]), (vec!["a".into(), String::new()], false, "<en".into()));
    }

    #[test]
    fn the_first_match_wins_and_an_overlap_is_found() {
        assert_eq!(stream(&["cd", "bcde"], &["ab", "cd"]), (vec!["a".into(), "b".into()], true, String::new()));
        assert_eq!(stream(&["aab"], &["a", "a", "a", "b"]).0.concat(), "a");
        assert_eq!(stream(&["ë", ""], &["é", "ë"]), (vec!["é".into(), String::new()], true, String::new()));
    }

    proptest! {
        #[test]
        fn any_cut_shows_the_text_up_to_the_first_stop(
            pieces in prop::collection::vec("[abé]{0,3}", 0..20),
            stops in prop::collection::vec("[abé]{1,4}", 0..3),
        ) {
            let mut watch = StopStrings::new(stops.clone());
            let (mut shown, mut stopped) = (String::new(), false);
            for piece in &pieces {
                let (part, now) = watch.push(piece);
                shown.push_str(&part);
                stopped = now;
                if stopped {
                    break;
                }
            }
            if !stopped {
                shown.push_str(&watch.finish());
            }
            let text = pieces.concat();
            let first = stops.iter().filter_map(|stop| text.find(stop.as_str())).min();
            prop_assert_eq!(stopped, first.is_some());
            // A longer stop string may start before the one that was complete first, so that its start was held back.
            prop_assert!(shown.len() >= first.unwrap_or(text.len()));
            prop_assert!(text.starts_with(&shown));
            prop_assert!(stops.iter().all(|stop| !shown.contains(stop.as_str())));
        }
    }
}
