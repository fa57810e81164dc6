// What a dashboard file may hold: Grafana's public types, for the panels that we use, as JSON has them (an enum is its text).
import type { AnnotationQuery, DashboardCursorSync, Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from '@grafana/schema';
import type { FieldConfig as LinesStyle, Options as LinesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Options as NumberOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';

type AsJson<T> = T extends string
  ? string extends T
    ? string
    : `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Item)[]
      ? AsJson<Item>[]
      : T extends object
        ? { [Key in keyof T]: AsJson<T[Key]> }
        : T;

// A query of Prometheus' data source, whose types Grafana does not publish with these.
type Query = { refId: string; expr: string; datasource: Source; legendFormat?: string; editorMode?: 'code' | 'builder'; range?: boolean };
type Source = { type: 'prometheus'; uid: string };

type Drawn<Kind extends string, Options, Style> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource'> & {
  type: Kind;
  datasource: Source;
  options: AsJson<Options>;
  fieldConfig: { defaults: AsJson<FieldConfig<Style>>; overrides: AsJson<FieldConfigSource['overrides']> };
  targets: Query[];
};
type Row = AsJson<RowPanel>;
type Alerts = Omit<AsJson<AnnotationQuery>, 'target' | 'datasource'> & { datasource: Source; expr: string; titleFormat: string; step: string };

export type Board = Omit<AsJson<Dashboard>, 'panels' | 'annotations' | 'graphTooltip'> & {
  graphTooltip: `${DashboardCursorSync}` extends `${infer Number extends number}` ? Number : never;
  annotations: { list: Alerts[] };
  panels: (Drawn<'stat', NumberOptions, Record<string, never>> | Drawn<'timeseries', LinesOptions, LinesStyle> | Row)[];
};
