//! Files of sections, as GKeyFile and systemd both read them as far as the cases go.

/// A section's name and its settings.
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) settings: Vec<(String, String)>,
}

pub(crate) struct Sections(pub(crate) Vec<Section>);

impl Sections {
    pub(crate) fn read(text: &str) -> Self {
        let mut all: Vec<Section> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                all.push(Section {
                    name: name.to_owned(),
                    settings: Vec::new(),
                });
            } else if let (Some(section), Some((key, value))) =
                (all.last_mut(), line.split_once('='))
            {
                section
                    .settings
                    .push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self(all)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|section| section.name == name)
    }

    /// The last value of a key in all sections of a name.
    pub(crate) fn get(&self, name: &str, key: &str) -> Option<&str> {
        let sections = self.0.iter().filter(|section| section.name == name);
        let mut settings = sections.flat_map(|section| &section.settings);
        settings
            .rfind(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// The settings of the sections of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<(&str, &str)> {
        let sections = self.0.iter().filter(|section| section.name == name);
        sections
            .flat_map(|section| &section.settings)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }
}
