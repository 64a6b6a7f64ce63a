import { ReactWidget, SidePanel, ToolbarButton, refreshIcon } from '@jupyterlab/ui-components';
import type { ITranslator } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import { Menu } from '@lumino/widgets';
import type { AccordionPanel, Widget } from '@lumino/widgets';
import React from 'react';

import { kaleServeIcon } from '../icons';
import { dataOf } from '../model/state';
import type { IKaleServeModel } from '../tokens';
import { EndpointsSection } from './EndpointsSection';
import { EnvironmentsSection } from './EnvironmentsSection';
import { LineageSection } from './LineageSection';
import { ModelsSection } from './ModelsSection';
import type { IMenuEntry, IPanelProps } from './panelprops';
import { ServingSection, underWay } from './ServingSection';

/** What each section gets at least, in pixels, where all are open: it may not have its content yet. */
const LEAST = [160, 160, 72, 220, 110];
/** A section longer than this scrolls before it takes room from the others. */
const MOST = 360;

/** A section that is drawn only once somebody opens it, and anew each time. */
class LazySection extends ReactWidget {
  constructor(make: () => JSX.Element, onShown: () => void) {
    super();
    this._make = make;
    this._onShown = onShown;
  }

  protected override render(): JSX.Element | null {
    return this.isVisible ? this._make() : null;
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.update();
    this._onShown();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.update();
  }

  private readonly _make: () => JSX.Element;
  private readonly _onShown: () => void;
}

/** The list to glance at: endpoints, models, what is being served now, lineage of the selection, environments. */
export class KaleServeSidebar extends SidePanel {
  constructor(options: KaleServeSidebar.IOptions) {
    super({ translator: options.translator });
    const { model, commands } = options;
    const trans = options.translator.load('kale_serve_lab');
    this._model = model;
    this._menu = new Menu({ commands });
    this.id = 'kale-serve-sidebar';
    this.addClass('jp-KaleServe');
    this.title.icon = kaleServeIcon;
    this.title.caption = trans.__('Kale Serve');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Kale Serve'));
    this.toolbar.addItem(
      'refresh',
      new ToolbarButton({
        icon: refreshIcon,
        tooltip: trans.__('Look again'),
        onClick: () => void model.refresh()
      })
    );
    const props: IPanelProps = {
      model,
      commands,
      trans,
      openMenu: (entries, x, y) => this._open(entries, x, y)
    };
    const add = (label: string, element: JSX.Element): Widget =>
      this._addSection(label, ReactWidget.create(element));
    this._endpoints = add(trans.__('Endpoints'), <EndpointsSection {...props} />);
    this._models = add(trans.__('Models'), <ModelsSection {...props} />);
    this._serving = add(trans.__('Serving now'), <ServingSection {...props} />);
    this._lineage = add(trans.__('Lineage'), <LineageSection {...props} />);
    this._addSection(
      trans.__('Environments'),
      // The accordion gives what is opened at the bottom next to nothing.
      new LazySection(
        () => <EnvironmentsSection {...props} />,
        () => this._share()
      )
    );
    this._accordion.collapse(2);
    this._accordion.collapse(3);
    this._accordion.collapse(4);
    model.servicesChanged.connect(this._onServicesChanged, this);
    model.modelsChanged.connect(this._onModelsChanged, this);
    model.selectionChanged.connect(this._onSelectionChanged, this);
    this._labels = {
      endpoints: trans.__('Endpoints'),
      models: trans.__('Models'),
      serving: trans.__('Serving now')
    };
    this._onServicesChanged();
    this._onModelsChanged();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._model.servicesChanged.disconnect(this._onServicesChanged, this);
    this._model.modelsChanged.disconnect(this._onModelsChanged, this);
    this._model.selectionChanged.disconnect(this._onSelectionChanged, this);
    this._stopViewing();
    this._menu.dispose();
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._view();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    if (this.isVisible) {
      this._view();
    }
  }

  protected override onBeforeHide(msg: Message): void {
    this._stopViewing();
    super.onBeforeHide(msg);
  }

  protected override onBeforeDetach(msg: Message): void {
    this._stopViewing();
    super.onBeforeDetach(msg);
  }

  private _view(): void {
    if (!this._viewing) {
      this._viewing = true;
      this._model.addViewer();
      if (!this._hasSizes) {
        this._hasSizes = true;
        this._share();
      }
    }
  }

  private _stopViewing(): void {
    if (this._viewing) {
      this._viewing = false;
      this._model.removeViewer();
    }
  }

  private get _accordion(): AccordionPanel {
    return this.content as AccordionPanel;
  }

  private _expand(section: Widget): void {
    if (section.isHidden) {
      this._accordion.expand(this._accordion.widgets.indexOf(section));
      this._share();
    }
  }

  /** Give the open sections room by what they hold. */
  private _share(): void {
    const sizes = this._accordion.widgets.map((section, index) => {
      const height = [...section.node.children].reduce((sum, child) => sum + child.clientHeight, 0);
      return section.isHidden ? 0 : Math.max(LEAST[index], Math.min(MOST, height));
    });
    this._accordion.setRelativeSizes(sizes);
  }

  private _addSection(label: string, section: Widget): Widget {
    section.addClass('jp-KaleServe-section');
    section.title.label = label;
    this.addWidget(section);
    return section;
  }

  private _open(entries: readonly IMenuEntry[], x: number, y: number): void {
    this._menu.clearItems();
    for (const entry of entries) {
      if (entry === 'separator') {
        this._menu.addItem({ type: 'separator' });
      } else {
        this._menu.addItem({ command: entry.command, args: entry.args });
      }
    }
    this._menu.open(x, y);
  }

  private _onServicesChanged(): void {
    const services = dataOf(this._model.services) ?? [];
    this._endpoints.title.label = counted(this._labels.endpoints, services.length);
    const pending = underWay(services).length;
    this._serving.title.label = counted(this._labels.serving, pending);
    // What starts is shown at once; a section that the user has closed while something starts stays closed.
    if (pending > this._pending) {
      this._expand(this._serving);
    }
    this._pending = pending;
  }

  private _onModelsChanged(): void {
    const list = dataOf(this._model.models);
    this._models.title.label = counted(this._labels.models, list?.total ?? 0);
  }

  private _onSelectionChanged(): void {
    if (this._model.selection) {
      this._expand(this._lineage);
    }
  }

  private readonly _model: IKaleServeModel;
  private readonly _menu: Menu;
  private readonly _endpoints: Widget;
  private readonly _models: Widget;
  private readonly _serving: Widget;
  private readonly _lineage: Widget;
  private readonly _labels: { endpoints: string; models: string; serving: string };
  private _pending = 0;
  private _viewing = false;
  private _hasSizes = false;
}

export namespace KaleServeSidebar {
  export interface IOptions {
    model: IKaleServeModel;
    commands: CommandRegistry;
    translator: ITranslator;
  }
}

function counted(label: string, count: number): string {
  return count > 0 ? `${label} · ${count}` : label;
}
